/** @import { Detail, EventName } from "./types.js" */

/** @type {Set<(name: any, detail: any) => void>} */
const listeners = new Set();

/**
 * Hears of everything.
 * @param {(name: any, detail: any) => void} listener
 * @returns {() => void} unsubscribes
 */
export function subscribe(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/**
 * One listener's error reaches neither us nor the others.
 * @param {EventName | "tracked"} name
 * @param {Detail} detail
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
