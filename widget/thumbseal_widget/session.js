/** @import { Settings } from "./types.js" */

// A page has one client: whom it speaks to, what it may keep, and until when.

/** @type {Settings} */
export let options = {};
/** Ends every listener. @type {AbortSignal} */
export let signal;
/** Whether anything may be stored or sent. */
export let allowed = true;
/** Resolves when it may. */
export let consented = Promise.resolve();
/**
 * A person who asks not to be tracked is not listened to, and leaves no trace in storage.
 * @type {boolean | undefined}
 */
export let quiet;

let grant = () => {};

/**
 * @param {Settings} settings
 * @returns what ends the session
 */
export function begin(settings) {
  const controller = new AbortController();
  options = settings;
  signal = controller.signal;
  quiet = navigator.globalPrivacyControl && settings.gpc != "ignore";
  allow(settings.consent != "required");
  return controller;
}

/** @param {boolean} given */
export function allow(given) {
  if (given) {
    grant();
  } else if (allowed) {
    consented = new Promise((resolve) => {
      grant = resolve;
    });
  }
  allowed = given;
}
