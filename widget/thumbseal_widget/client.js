/** @import { Client, Feedback, MessageRef, Settings } from "./types.js" */
import { guard, subscribe } from "./emitter.js";
import { messageId, stamp, tokenOf } from "./ids.js";
import { enqueue, flush, leave, retry, schedule } from "./queue.js";
import { begin, options, signal } from "./session.js";
import { consent, dropOutdated } from "./store.js";
import { identify, openThread } from "./thread.js";
import { feedbackOn, hearVote, turnVote, wantVote } from "./votes.js";

/**
 * What the page calls. Nothing in it throws or rejects. A page has one client.
 * @param {Settings} settings
 * @returns {Client}
 */
export function createClient(settings) {
  const session = begin({ ...settings });
  /** @type {Client} */
  const client = {
    q: { push: (call) => guard(() => call(client)) },
    ready: Promise.resolve().then(() => client),
    openThread: (options) => openThread(Object(options)),
    trackFeedback,
    getFeedback,
    identify: (id, props) => identify({ claimed_user: { id, ...props } }),
    beforeSend: (hook) => {
      options.beforeSend = hook;
    },
    consent: (given) => guard(() => consent(given)),
    flush,
    on: (name, listener) => subscribe((heard, detail) => heard == name && listener(detail)),
    destroy() {
      leave();
      session.abort();
      schedule();
      if (window.thumbseal == client) {
        delete window.thumbseal;
      }
    },
  };
  guard(() => {
    dropOutdated();
    watchPage();
    schedule();
  });
  return client;
}

/**
 * @param {MessageRef} message
 * @param {Feedback} feedback
 */
export function trackFeedback(message, feedback) {
  guard(() => enqueue(turnVote(tokenOf(message), feedback, stamp())));
}

/**
 * What this browser knows, else what the server says.
 * @param {MessageRef} message
 */
export function getFeedback(message) {
  return guard(async () => {
    const token = tokenOf(message);
    const known = () => feedbackOn(messageId(token));
    if (wantVote(token)) {
      await (known() ? schedule() : flush());
    }
    return known();
  });
}

function watchPage() {
  const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ listener) =>
    addEventListener(name, listener, { signal });
  on("visibilitychange", () => (document.hidden ? leave() : retry()));
  on("pagehide", leave);
  on("online", retry);
  on("storage", hearVote);
}
