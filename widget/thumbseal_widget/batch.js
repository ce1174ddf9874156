/** @import { Batch, Item } from "./types.js" */
import { listKeys, readRecord } from "./store.js";
import { askingThread, entranceOf } from "./threads.js";
import { listWanted } from "./votes.js";

/** Browsers allow a page 64 KiB of keepalive requests at once. */
const MAX_BYTES = 48_000;

/**
 * What fits the next request: the oldest events of one thread, and votes, which need no thread.
 * Without any, what a thread or an element needs to know.
 * @param {number} maxEvents
 * @returns {Batch | undefined}
 */
export function nextBatch(maxEvents) {
  /** @type {Item[]} */
  const waiting = listKeys("q.")
    .map(readRecord)
    .filter((item) => item?.event);
  const key = waiting.find((item) => item.thread)?.thread ?? askingThread() ?? "";
  const body = { ...(key && entranceOf(key)), read: waiting[0] ? [] : listWanted() };
  let bytes = sizeOf(body);
  const items = waiting
    .filter(({ thread = key }) => thread == key)
    .filter(({ event }, index) => {
      bytes += sizeOf(event);
      return !index || (index < maxEvents && bytes < MAX_BYTES);
    });
  const events = items.map((item) => item.event);
  return key || items[0] || body.read[0] ? { key, items, body: { ...body, events } } : undefined;
}

/** @param {object} value */
function sizeOf(value) {
  return new Blob([JSON.stringify(value)]).size;
}
