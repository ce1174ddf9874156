/** @import { Settings, Tools } from "./types.js" */
import { attach } from "./attach.js";
import { createClient } from "./client.js";
import { guard, subscribe } from "./emitter.js";
import { fetchFile } from "./files.js";
import { allowed, options, quiet, signal } from "./session.js";
import { readRecord, writeRecord } from "./store.js";
import { openThread } from "./thread.js";

/**
 * A client that also watches the page, as its settings say.
 * @param {Settings} settings
 */
export function start(settings) {
  const client = Object.assign(createClient(settings), { attach });
  if (options.user || options.assistant || options.propagate) {
    /** @type {Tools[3]} */
    const tracked = {};
    const unsubscribe = subscribe((name, { role, message }) => {
      if (name == "tracked") {
        tracked[role] = message;
      }
    });
    signal.addEventListener("abort", unsubscribe);
    guard(async () => {
      const { watch } = await fetchFile("watch.mjs");
      /** @type {Tools} */
      const tools = [
        options,
        signal,
        quiet,
        tracked,
        () => allowed,
        guard,
        readRecord,
        writeRecord,
        openThread,
      ];
      watch(tools);
    });
  }
  return client;
}
