/** @import { MessageRef } from "./types.js" */
import { attempt } from "./attempt.js";

let last = 0;

/**
 * The id and time of a new event. Times in a tab never repeat, so that ids sort by time: it has
 * 8 digits in base 36 until 2059.
 */
export function stamp() {
  last = Math.max(last + 1, Date.now());
  return { id: last.toString(36) + randomHex(), at: last };
}

/** 8 random bytes; `crypto.randomUUID` is missing on plain http. */
export function randomHex() {
  return hex(crypto.getRandomValues(new Uint8Array(8)));
}

/**
 * The message's id, which is bytes 25 to 41 of its token's payload.
 * @param {string} token
 * @returns {string} the token itself if it cannot be read
 */
export function messageId(token) {
  const id = attempt(() => {
    const bytes = atob(token.slice(32, 56).replace(/-/g, "+").replace(/_/g, "/"));
    const digits = hex(Array.from(bytes.slice(1, 17), (char) => char.charCodeAt(0)));
    return digits.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  });
  return id || token;
}

/**
 * The token of a message, or its reference where no token is bound yet.
 * @param {MessageRef | undefined} message
 * @returns {any} a string, if the page gave what it should
 */
export function tokenOf(message) {
  return typeof message == "object" ? (message?.token ?? message?.ref) : message;
}

/**
 * References start with a sign that no token has, and end with their thread's key.
 * @param {string} token
 * @returns {string | undefined} that key, if the token is a reference
 */
export function threadOf(token) {
  return token[0] == "~" ? token.slice(25) : undefined;
}

/** @param {ArrayLike<number>} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join("");
}
