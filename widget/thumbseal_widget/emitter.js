/** @import { Detail, EventName, MessageFields } from "./types.js" */

/** @type {Set<(name: any, detail: any) => void>} */
const listeners = new Set();

/**
 * Hears of everything.
 * @param {(name: any, detail: any) => void} listener
 * @returns {() => void} unsubscribes
 */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * One listener's error reaches neither us nor the others. Only modules here hear "tracked", with
 * what the page records itself.
 * @param {EventName | "tracked"} name
 * @param {Detail | MessageFields} detail
 */
export function emit(name, detail) {
  for (const listener of listeners) {
    try {
      listener(name, detail);
    } catch (error) {
      reportError(error);
    }
  }
}

/**
 * Runs what must never throw into the page: its errors become `error` events.
 * @template T
 * @param {() => T | Promise<T>} deed
 * @returns {Promise<T | null>}
 */
export async function guard(deed) {
  try {
    return await deed();
  } catch (error) {
    emit("error", { code: "internal", error });
    return null;
  }
}
