/** @import { Blank, MessageHandle } from "./types.js" */
import { isReference, randomHex, stamp } from "./ids.js";
import { readRecord } from "./store.js";

/**
 * A message for the page, and the function that gives it its blank token. Until then events name
 * it by a reference that ends with its thread's key.
 * @param {string} key
 */
export function createMessage(key) {
  /** @type {(message: MessageHandle) => void} */
  let bound;
  /** @type {MessageHandle} */
  const message = {
    id: null,
    token: null,
    ref: "~" + stamp().id + key,
    ready: new Promise((resolve) => {
      bound = resolve;
    }),
    headers: () => (message.id ? headersOf(/** @type {Blank} */ (message)) : {}),
  };
  const bind = (/** @type {Blank} */ { id, token }) => bound(Object.assign(message, { id, token }));
  return { message, bind };
}

/**
 * The key of the thread that a reference belongs to.
 * @param {string} ref
 */
export function threadOf(ref) {
  return ref.slice(25);
}

/**
 * Undefined while the reference is not bound.
 * @param {string} token or a reference
 * @returns {string | undefined}
 */
export function resolveToken(token) {
  return isReference(token) ? readRecord("b." + token)?.token : token;
}

/**
 * A message's id is a W3C trace id.
 * @param {Blank} blank
 */
function headersOf({ id, token }) {
  return {
    "x-thumbseal-message": token,
    traceparent: `00-${id.replace(/-/g, "")}-${randomHex()}-01`,
  };
}
