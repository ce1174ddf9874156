/** @import { Item } from "./types.js" */

/** Browsers allow a page 64 KiB of keepalive requests at once. */
const MAX_BYTES = 48_000;

/**
 * The oldest events that fit one request: of one thread, and votes, which need no thread.
 * @param {Item[]} waiting
 * @param {number} maxEvents
 */
export function nextBatch(waiting, maxEvents) {
  const thread = waiting.find((item) => item.thread)?.thread;
  let bytes = 0;
  return waiting
    .filter((item) => !item.thread || item.thread == thread)
    .filter(({ event }, index) => {
      bytes += new Blob([JSON.stringify(event)]).size;
      return !index || (index < maxEvents && bytes < MAX_BYTES);
    });
}
