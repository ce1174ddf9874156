/** @import { Detail, EventName } from "./types.js" */

/** Keeps one listener's error away from us and from the others. */
const target = new EventTarget();

/**
 * Hears of everything.
 * @param {(name: EventName, detail: Detail) => void} listener
 * @returns {() => void} unsubscribes
 */
export function subscribe(listener) {
  const hear = (/** @type {any} */ { detail: [name, detail] }) => listener(name, detail);
  target.addEventListener("news", hear);
  return () => target.removeEventListener("news", hear);
}

/**
 * @param {EventName} name
 * @param {Detail} detail
 */
export function emit(name, detail) {
  target.dispatchEvent(new CustomEvent("news", { detail: [name, detail] }));
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
