/** @import { Blank, BoundMessage, MessageHandle } from "./types.js" */
import { randomHex } from "./ids.js";

/**
 * A message for the page, and the function that gives it its blank token. Until then events name
 * it by a reference.
 * @param {string} ref
 * @returns {BoundMessage}
 */
export function createMessage(ref) {
  /** @type {(message: MessageHandle) => void} */
  let bound;
  /** @type {MessageHandle} */
  const message = {
    id: null,
    token: null,
    ref,
    ready: new Promise((resolve) => {
      bound = resolve;
    }),
    headers: () => (message.id ? headersOf(/** @type {Blank} */ (message)) : {}),
  };
  return { message, bind: (blank) => bound(Object.assign(message, blank)) };
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
