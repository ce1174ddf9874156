/** @import { MessageHandle, Tools } from "./types.js" */
import { capture } from "./capture.js";
import { propagate } from "./propagate.js";

/**
 * What few pages ask for, in a file of its own: it works with what the script has already.
 * @param {Tools} tools
 */
export function watch(tools) {
  const [options, , quiet, tracked, , guard] = tools;
  const selector = [options.user, options.assistant].filter(Boolean).join();
  /** @type {() => MessageHandle | undefined} */
  let captured = () => undefined;
  if (selector && !quiet) {
    guard(() => {
      captured = capture(tools, selector);
    });
  }
  if (options.propagate) {
    guard(() => propagate(tools, () => tracked.user ?? captured()));
  }
}
