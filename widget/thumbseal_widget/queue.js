/** @import { Answer, Batch, Item, Result } from "./types.js" */
import { attempt } from "./attempt.js";
import { nextBatch } from "./batch.js";
import { emit, guard } from "./emitter.js";
import { messageId } from "./ids.js";
import { allowed, consented, options, signal } from "./session.js";
import { dropRecord, listKeys, nameOf, readRecord, writeRecord } from "./store.js";
import { liveThread, takeGrant } from "./threads.js";
import { MAX_PAUSE_MS, delay, post } from "./transport.js";
import { learnVotes, settleVote } from "./votes.js";

// Events wait here, on disk, until the server has answered each of them.

const MAX_EVENTS = 50;
const SEEN_AFTER_MS = 500;
/** What lies in localStorage; more waits in memory, because the page needs its quota too. */
const MAX_STORED = 200;

let failures = 0;
let maxEvents = MAX_EVENTS;
/** @type {Promise<unknown>} */
let turn = Promise.resolve();
/** The turn that has not begun, for all who ask meanwhile. @type {Promise<unknown> | undefined} */
let next;
/** @type {number | undefined} */
let timer;

/** @param {Item} item */
export function enqueue(item) {
  const { beforeSend = (event) => event } = options;
  const event = attempt(() => beforeSend(item.event));
  if (event) {
    writeRecord("q." + event.id, { ...item, event }, !!listKeys("q.")[MAX_STORED]);
    schedule();
  } else {
    report("error", item, "withheld");
  }
}

/** Sends what waits, unless the server asked for a pause: one tab and one request at a time. */
export function flush() {
  // Plain http has no locks, and a sandboxed frame refuses them.
  const locked = () => navigator.locks?.request(nameOf("queue"), drain).catch(drain) ?? drain();
  next ??= turn = turn
    .then(() => consented)
    .then(() => {
      next = undefined;
      return guard(locked);
    });
  return next;
}

/** Sends at once: the page may be gone in a moment. */
export function leave() {
  guard(() => {
    const batch = nextBatch(maxEvents);
    return allowed && batch?.items[0] && send(batch, true);
  });
}

export function retry() {
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

/** Milliseconds left of the pause that the server asked all tabs for. */
function pauseLeft() {
  const left = readRecord("pause")?.until - Date.now();
  return left > 0 && left <= MAX_PAUSE_MS ? left : 0;
}

/** @returns {Promise<void>} */
async function drain() {
  const batch = !signal.aborted && nextBatch(maxEvents);
  if (batch && !(await send(batch))) {
    await drain();
  }
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
 * @param {Batch} batch
 * @param {boolean} [keepalive]
 * @returns {Promise<boolean>} whether to wait before the next
 */
async function send({ key, items, body }, keepalive) {
  const left = pauseLeft();
  if (left) {
    return hold(items, left);
  }
  const thread = liveThread(key);
  const { asks } = thread;
  const since = Date.now();
  thread.asks = false;
  const answer = await post({ ...body, sent_at: since }, keepalive);
  const { pause, results } = answer;
  const code = answer.error?.code ?? `${answer.status}`;
  if ([400, 413].includes(answer.status) && items[1]) {
    maxEvents = 1;
    return false;
  }
  if (results) {
    maxEvents = MAX_EVENTS;
    takeGrant(key, answer);
  }
  // A thread that is refused takes no vote down with it.
  const refusal = (/** @type {Item} */ { thread }) => ({
    status: "rejected",
    code,
    retry: answer.retry || (!!key && !thread),
  });
  const closed = items.filter((item, index) =>
    close(item, results ? results[index] : refusal(item), answer),
  );
  const isStuck = !!items[0] && !closed[0];
  // One more try at once: it may be that the server has just opened the thread.
  if (answer.retry || (isStuck && failures)) {
    thread.asks ||= asks;
    hold(items, delay(failures++, pause));
    if (pause) {
      writeRecord("pause", { until: Date.now() + pause });
      // The next tab gets the lock at once, but sees only a little later what this one wrote.
      await new Promise((seen) => setTimeout(seen, SEEN_AFTER_MS));
    }
    return true;
  }
  failures = isStuck ? 1 : 0;
  learnVotes(body.read, since, answer.read);
  if (!results && !items[0]) {
    emit("error", { code });
  }
  return false;
}

/**
 * Lets go of an event that has its last answer, and tells whether it has.
 * @param {Item} item
 * @param {Result | undefined} result
 * @param {Answer} answer
 */
function close(item, result, { bound }) {
  const key = "q." + item.event.id;
  const final = result && !result.retry;
  // The other of two requests with the same event may have been answered already.
  if (final && readRecord(key)) {
    dropRecord(key);
    report(result.status == "rejected" ? "error" : "sent", item, result.code, bound);
  }
  return final;
}

/**
 * @param {"saved" | "sent" | "error"} name
 * @param {Item} item
 * @param {string} [code] why not
 * @param {Answer["bound"]} [bound] what references in the event have come to mean
 */
function report(name, { event, feedback = null }, code, bound) {
  const { message = "" } = event;
  const id = bound?.[message]?.id ?? messageId(message);
  if (event.type == "feedback" && name != "saved") {
    settleVote(id, event.id, name, feedback);
  }
  emit(name, { event, feedback, message: id, code });
}
