/** @import { Blank, MessageHandle } from "./types.js" */
import { randomHex } from "./ids.js";

/** A message for the page, and the function that gives it its blank token. */
export function createMessage() {
  /** @type {(message: MessageHandle) => void} */
  let bound;
  /** @type {MessageHandle} */
  const message = {
    id: null,
    token: null,
    ready: new Promise((resolve) => {
      bound = resolve;
    }),
    headers: () => (message.id ? headersOf(/** @type {Blank} */ (message)) : {}),
  };
  const bind = (/** @type {Blank} */ blank) => bound(Object.assign(message, blank));
  return { message, bind };
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
