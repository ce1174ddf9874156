/** @import { Answer, LiveThread, Metadata, ThreadGrant, ThreadOptions } from "./types.js" */
import { emit } from "./emitter.js";
import { stamp } from "./ids.js";
import { schedule } from "./queue.js";
import { options } from "./session.js";
import { readRecord, writeRecord } from "./store.js";
import { createThread } from "./thread.js";
import { post } from "./transport.js";

/** Marks a key as the page's own id; other keys belong to threads that the page did not name. */
const NAMED = "=";

/** This tab's threads; the tokens in the store are every tab's. @type {Map<string, LiveThread>} */
const live = new Map();
/** @type {Metadata | undefined} */
let claim;

/** @param {ThreadOptions} options */
export function startThread({ id, tags, metadata }) {
  const key = id ? NAMED + id : stamp().id;
  return liveThread(key, { tags, metadata: claim ? { ...metadata, ...claim } : metadata }).thread;
}

/**
 * @param {string} key
 * @param {ThreadOptions} [details]
 */
function liveThread(key, details = {}) {
  let made = live.get(key);
  if (!made) {
    made = createThread(key, details);
    live.set(key, made);
    made.take();
    schedule();
  }
  return made;
}

/**
 * A thread that events wait for, perhaps another page's: it is to be opened, the message bound.
 * @param {string} key
 * @param {string} [ref]
 */
export function needThread(key, ref) {
  liveThread(key).need(ref);
}

/** The thread to open next, after what other tabs have bound. */
export function nextThread() {
  live.forEach((thread) => thread.take());
  return [...live].find(([, thread]) => thread.needs())?.[0];
}

/** @param {Metadata} claimed metadata for the threads of now and later */
export function identify(claimed) {
  claim = claimed;
  live.forEach((thread) => thread.describe(claimed));
}

/**
 * @param {string} key
 * @returns {ThreadGrant | undefined}
 */
export function grantOf(key) {
  return readRecord("t." + key);
}

/**
 * How many blanks this tab needs of a thread, which may be another tab's.
 * @param {string} key
 */
export function wantOf(key) {
  return live.get(key)?.want() ?? 0;
}

/**
 * Resumes the thread, else opens it as the actor of an earlier one, else as a new actor.
 * @param {string} key
 * @returns {Promise<Answer>}
 */
export async function openThread(key) {
  const id = key[0] == NAMED ? key.slice(1) : undefined;
  const thread = grantOf(key)?.token;
  const from = readRecord("from")?.token;
  const ways = [thread && { thread }, from && { id, from }, { id }].filter(Boolean);
  let answer;
  do {
    answer = await post("/v1/threads", { site: options.site, want: wantOf(key), ...ways.shift() });
  } while (answer.status == 401 && ways[0]);
  if (answer.status < 300) {
    takeGrant(key, answer.body);
  }
  const made = live.get(key);
  if (made) {
    made.refused = !answer.retry && !answer.body.messages?.[0] && !!made.want();
  }
  if (answer.status >= 300 && !answer.retry) {
    emit("error", { code: answer.body.error?.code ?? "" + answer.status });
  }
  return answer;
}

/**
 * @param {string} key
 * @param {Answer["body"]} body
 */
export function takeGrant(key, { thread, messages = [] }) {
  const anew = !!thread && thread.id != grantOf(key)?.id;
  if (thread) {
    writeRecord("t." + key, thread);
    writeRecord("from", thread);
  }
  live.get(key)?.take(messages, anew);
}
