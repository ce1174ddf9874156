/** @import { Answer, LiveThread, Metadata, ThreadGrant, ThreadOptions } from "./types.js" */
import { emit } from "./emitter.js";
import { stamp } from "./ids.js";
import { site } from "./session.js";
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
  let made = live.get(key);
  if (!made) {
    made = createThread(key, { tags, metadata: claim ? { ...metadata, ...claim } : metadata });
    live.set(key, made);
    made.take([]);
    made.open();
  }
  return made.thread;
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
    answer = await post("/v1/threads", { site, want: wantOf(key), ...ways.shift() });
  } while (answer.status == 401 && ways[0]);
  if (answer.status < 300) {
    takeGrant(key, answer.body);
  } else if (!answer.retry) {
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
