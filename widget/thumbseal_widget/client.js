/** @import { Client, Feedback, MessageRef, Settings } from "./types.js" */
import { guard, subscribe } from "./emitter.js";
import { messageId, stamp, tokenOf } from "./ids.js";
import { flush, leave, watchPage } from "./queue.js";
import { begin, options } from "./session.js";
import { consent, dropOutdated } from "./store.js";
import { identify, startThread } from "./threads.js";
import { loadVote, vote, voteOn, watchVotes } from "./votes.js";

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
    openThread: (options) => startThread(Object(options)),
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
      if (window.thumbseal == client) {
        delete window.thumbseal;
      }
    },
  };
  guard(() => {
    dropOutdated();
    watchVotes();
    watchPage();
  });
  return client;
}

/**
 * @param {MessageRef} message
 * @param {Feedback} feedback
 */
export function trackFeedback(message, feedback) {
  guard(() => vote(tokenOf(message), Object(feedback), stamp()));
}

/** @param {MessageRef} message */
export function getFeedback(message) {
  return guard(async () => {
    const token = tokenOf(message);
    const known = () => voteOn(messageId(token))?.feedback ?? null;
    const loading = loadVote(token);
    return known() ?? (await loading, known());
  });
}
