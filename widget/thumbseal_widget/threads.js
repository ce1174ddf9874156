/** @import { Answer, LiveThread, ThreadGrant } from "./types.js" */
import { options } from "./session.js";
import { readRecord, writeRecord } from "./store.js";
import { bindVote } from "./votes.js";

/** Marks a key as the page's own id; other keys belong to threads that the page did not name. */
export const NAMED = "=";
/** The server takes no more at once. */
const MAX_REFS = 50;
/** How many blank message tokens to ask for, and how few to be content with. */
const BLANKS = 8;
const FEW = 4;

/** This tab's threads; the tokens in the store are every tab's. @type {Map<string, LiveThread>} */
export const live = new Map();

/**
 * @param {string} key
 * @returns {LiveThread}
 */
export function liveThread(key) {
  if (!live.has(key)) {
    // A page may have put names like these into `Object.prototype`.
    live.set(key, /** @type {any} */ ({ __proto__: null, blanks: [], unbound: new Map() }));
  }
  return /** @type {LiveThread} */ (live.get(key));
}

/**
 * @param {string} key
 * @returns {ThreadGrant | undefined}
 */
export function grantOf(key) {
  return readRecord("t." + key);
}

/** The key of a thread that needs something of the server. */
export function askingThread() {
  return [...live].find(([, { asks }]) => asks)?.[0];
}

/**
 * What to say of a thread so that the server lets us speak in it: it resumes the thread, else opens
 * it as the actor of an earlier one, else as a new actor.
 * @param {string} key
 */
export function entranceOf(key) {
  const { blanks, unbound } = liveThread(key);
  const id = key[0] == NAMED ? key.slice(1) : undefined;
  const thread = grantOf(key)?.token;
  const from = readRecord("from")?.token;
  return {
    open: { site: options.site, id, thread, from },
    want: blanks.length < FEW ? BLANKS : 0,
    refs: [...unbound.keys()].slice(0, MAX_REFS),
  };
}

/**
 * @param {string} key
 * @param {Answer} answer
 */
export function takeGrant(key, { thread, messages = [], bound = {} }) {
  const made = liveThread(key);
  if (thread) {
    // The tokens of a thread that could not be resumed are worthless.
    made.blanks = thread.id == grantOf(key)?.id ? made.blanks : [];
    writeRecord("t." + key, thread);
    writeRecord("from", thread);
  }
  made.blanks.push(...messages);
  made.opened?.();
  const named = Object.entries(bound);
  for (const [ref, blank] of named) {
    bindVote(ref, blank.id);
    made.unbound.get(ref)?.bind(blank);
    made.unbound.delete(ref);
  }
  // There may be more than one request can name.
  made.asks ||= !!named[0] && !!made.unbound.size;
}
