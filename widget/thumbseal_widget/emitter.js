/** @import { Detail, EventName } from "./types.js" */

/** The browser's own events: a listener's error reaches neither us nor the others. */
const bus = new EventTarget();

/**
 * @param {EventName | "tracked"} name
 * @param {(detail: any) => void} listener
 * @param {AddEventListenerOptions} [options]
 * @returns {() => void} unsubscribes
 */
export function subscribe(name, listener, options) {
  const hear = (/** @type {any} */ { detail }) => listener(detail);
  bus.addEventListener(name, hear, options);
  return () => bus.removeEventListener(name, hear);
}

/**
 * @param {EventName | "tracked"} name
 * @param {Detail} detail
 */
export function emit(name, detail) {
  bus.dispatchEvent(new CustomEvent(name, { detail }));
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
