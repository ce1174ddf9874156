/** @import { Settings } from "./types.js" */

// A page has one client: whom it speaks to, and until when.

export let site = "";
export let server = "";
/** Ends every listener. @type {AbortSignal} */
export let signal;

/**
 * @param {Settings} settings
 * @returns what ends the session
 */
export function begin(settings) {
  const controller = new AbortController();
  site = settings.site ?? "";
  server = settings.server ?? "";
  signal = controller.signal;
  return controller;
}
