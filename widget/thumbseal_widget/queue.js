/** @import { Answer, Item, Result } from "./types.js" */
import { attempt } from "./attempt.js";
import { nextBatch } from "./batch.js";
import { emit, guard } from "./emitter.js";
import { isReference, messageId } from "./ids.js";
import { resolveToken, threadOf } from "./message.js";
import { allowed, consented, options, signal } from "./session.js";
import { dropRecord, listKeys, nameOf, readRecord, writeRecord } from "./store.js";
import { grantOf, needThread, nextThread, openThread, takeGrant, wantOf } from "./threads.js";
import { MAX_PAUSE_MS, delay, post } from "./transport.js";

// Events wait here, on disk, until the server has answered each of them.

const MAX_EVENTS = 50;
/** What lies in localStorage; more waits in memory, because the page needs its quota too. */
const MAX_STORED = 200;

let failures = 0;
let maxEvents = MAX_EVENTS;
/** The thread whose token was renewed last: a second 401 is final. */
let renewed = "";
/** @type {Promise<unknown>} */
let turn = Promise.resolve();
/** @type {number | undefined} */
let timer;

/** @param {Item} item */
export function enqueue(item) {
  const { beforeSend = (event) => event } = options;
  const event = attempt(() => beforeSend(item.event));
  if (event) {
    writeRecord("q." + event.id, { ...item, event }, listKeys("q.").length >= MAX_STORED);
    schedule();
  } else {
    report("error", item, "withheld");
  }
}

/** Sends what waits, unless the server asked for a pause: one tab and one request at a time. */
export function flush() {
  // Plain http has no locks, and a sandboxed frame refuses them.
  const locked = () => navigator.locks?.request(nameOf("queue"), drain).catch(drain) ?? drain();
  turn = turn.then(() => consented).then(() => guard(locked));
  return turn;
}

/** Sends at once: the page may be gone in a moment. */
export function leave() {
  guard(() => {
    const items = waiting();
    return allowed && items[0] && !pauseLeft() && send(items, true);
  });
}

export function watchPage() {
  const show = () => (document.hidden ? leave() : retry());
  document.addEventListener("visibilitychange", show, { signal });
  addEventListener("pagehide", leave, { signal });
  addEventListener("online", retry, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  schedule();
}

function retry() {
  failures = 0;
  flush();
}

/** @param {number} [ms] */
export function schedule(ms) {
  clearTimeout(timer);
  if (!signal.aborted) {
    timer = setTimeout(flush, ms);
  }
}

/** What can be sent now. */
function waiting() {
  const items = listKeys("q.").map(readRecord).filter((item) => item?.event && isBound(item));
  return nextBatch(items, maxEvents);
}

/**
 * Fills in tokens bound since the event was queued, and asks for those that are not.
 * @param {Item} item
 */
function isBound({ event, thread }) {
  let bound = !thread || !!grantOf(thread) || needThread(thread);
  for (const field of ["message", "reply_to", "retry_of"]) {
    const ref = /** @type {string} */ (event[field]);
    event[field] = resolveToken(ref);
    if (isReference(ref) && !event[field]) {
      bound = needThread(threadOf(ref), ref);
    }
  }
  return bound;
}

/** Milliseconds left of the pause that the server asked all tabs for. */
function pauseLeft() {
  const left = readRecord("pause")?.until - Date.now();
  return left > 0 && left <= MAX_PAUSE_MS ? left : 0;
}

async function drain() {
  for (let held; !held && !signal.aborted;) {
    const items = waiting();
    const key = nextThread();
    if (!items[0] && !key) {
      break;
    }
    held = pauseLeft() ? hold(items, pauseLeft()) : await (items[0] ? send(items) : open(key));
  }
}

/** @param {any} key */
async function open(key) {
  const answer = await openThread(key);
  return answer.retry && fail([], answer);
}

/**
 * @param {Item[]} items
 * @param {number} ms
 */
function hold(items, ms) {
  schedule(ms);
  items.forEach((item) => report("saved", item));
  return true;
}

/**
 * @param {Item[]} items
 * @param {boolean} [keepalive]
 * @returns {Promise<boolean>} whether to wait before the next
 */
async function send(items, keepalive) {
  const thread = items.find((item) => item.thread)?.thread ?? "";
  const request = {
    token: grantOf(thread)?.token,
    want: wantOf(thread),
    sent_at: Date.now(),
    events: items.map((item) => item.event),
  };
  const answer = await post("/v1/events", request, keepalive);
  if (answer.status == 401 && thread != renewed) {
    renewed = thread;
    const renewal = await openThread(thread);
    return renewal.retry && fail(items, renewal);
  }
  return settleBatch(items, thread, answer);
}

/**
 * @param {Item[]} items
 * @param {string} thread
 * @param {Answer} answer
 */
function settleBatch(items, thread, answer) {
  const { status, body, retry } = answer;
  const ok = status < 300;
  if (retry || (ok && !body.results)) {
    return fail(items, answer);
  }
  if (/400|413/.test(`${status}`) && items[1]) {
    maxEvents = 1;
    return false;
  }
  if (ok) {
    failures = 0;
    maxEvents = MAX_EVENTS;
    renewed = "";
    takeGrant(thread, body);
  }
  const answered = items.filter((item, index) =>
    close(item, ok ? body.results?.[index] : refusal(item, answer)),
  );
  return !answered[0] && fail(items, answer);
}

/**
 * What a refused request says of an event. A thread that is refused takes no vote down with it.
 * @param {Item} item
 * @param {Answer} answer
 * @returns {Result}
 */
function refusal({ thread }, { status, body }) {
  const code = body.error?.code ?? `${status}`;
  return { status: "rejected", code, retry: status == 401 && !thread };
}

/**
 * @param {Item[]} items
 * @param {Answer} answer
 */
function fail(items, answer) {
  if (answer.pause) {
    writeRecord("pause", { until: Date.now() + answer.pause });
  }
  return hold(items, delay(failures++, answer));
}

/**
 * Lets go of an event that has its last answer, and tells whether it has.
 * @param {Item} item
 * @param {Result | undefined} result
 */
function close(item, result) {
  const key = "q." + item.event.id;
  const final = result && !result.retry;
  // The other of two requests with the same event may have been answered already.
  if (final && readRecord(key)) {
    dropRecord(key);
    report(result.status == "rejected" ? "error" : "sent", item, result.code);
  }
  return final;
}

/**
 * @param {"saved" | "sent" | "error"} name
 * @param {Item} item
 * @param {string} [code]
 */
function report(name, { event, feedback }, code) {
  emit(name, { event, feedback, message: event.message && messageId(event.message), code });
}
