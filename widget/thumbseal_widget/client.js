/** @import { Client, Feedback, MessageRef, Settings } from "./types.js" */
import { attach } from "./attach.js";
import { guard, subscribe } from "./emitter.js";
import { messageId, stamp, tokenOf } from "./ids.js";
import { flush, leave, watchPage } from "./queue.js";
import { begin } from "./session.js";
import { dropOutdated } from "./store.js";
import { identify, startThread } from "./threads.js";
import { loadVote, vote, voteOn, watchVotes } from "./votes.js";

/**
 * What the page calls. Nothing in it throws or rejects. A page has one client.
 * @param {Settings} settings
 * @returns {Client}
 */
export function createClient(settings) {
  const session = begin(settings);
  dropOutdated();
  watchVotes();
  watchPage();
  /** @type {Client} */
  const client = {
    q: { push: (call) => guard(() => call(client)) },
    openThread: (options) => startThread(Object(options)),
    trackFeedback,
    getFeedback,
    identify: (id, props) => identify({ claimed_user: { id, ...props } }),
    flush,
    on: (name, listener) => subscribe((heard, detail) => heard == name && listener(detail)),
    attach,
    destroy() {
      leave();
      session.abort();
      if (window.thumbseal == client) {
        delete window.thumbseal;
      }
    },
  };
  return client;
}

/**
 * @param {MessageRef} message
 * @param {Feedback} feedback
 */
export function trackFeedback(message, feedback) {
  const now = stamp();
  guard(async () => {
    // At once where the token is there, so that the thumb turns with the click.
    const token = tokenOf(message);
    vote(typeof token == "string" ? token : await token, Object(feedback), now);
  });
}

/** @param {MessageRef} message */
export function getFeedback(message) {
  return guard(async () => {
    const token = await tokenOf(message);
    const known = () => voteOn(messageId(token))?.feedback ?? null;
    const loading = loadVote(token);
    return known() ?? (await loading, known());
  });
}
