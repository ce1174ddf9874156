/** @import { Detail, EventName, Feedback, VoteRecord } from "./types.js" */
import { attempt } from "./attempt.js";
import { emit, subscribe } from "./emitter.js";
import { merge } from "./feedback.js";
import { isReference, messageId } from "./ids.js";
import { enqueue } from "./queue.js";
import { consented, signal } from "./session.js";
import { dropRecord, nameOf, readRecord, writeRecord } from "./store.js";
import { post } from "./transport.js";

/** As many as the server answers at once. */
const MAX_TOKENS = 200;
/** Elements that appear together ask together. */
const GATHER_MS = 50;

/** Ids of messages whose state needs no asking. @type {Set<string>} */
const known = new Set();
/** Tokens to ask for. @type {Set<string>} */
const wanted = new Set();
/** @type {Promise<void> | undefined} */
let loading;

/**
 * The vote on a message, by its id: elements come and go.
 * @param {string | undefined} id
 * @returns {VoteRecord | undefined}
 */
export function voteOn(id) {
  return readRecord("v." + id);
}

/**
 * The vote moves from a message's reference to its id. The server can know of no other yet.
 * @param {string} ref
 * @param {string} id
 */
export function bindVote(ref, id) {
  const record = voteOn(ref);
  known.add(id);
  if (record) {
    dropRecord("v." + ref);
    writeRecord("v." + id, record);
  }
}

/**
 * @param {string} token
 * @param {Feedback} patch
 * @param {{id: string, at: number}} stamp
 */
export function vote(token, patch, stamp) {
  const id = messageId(token);
  const { feedback = null, confirmed = null } = voteOn(id) ?? {};
  const next = merge(feedback, patch);
  write(id, { feedback: next, confirmed, event: stamp.id });
  enqueue({
    event: { type: "feedback", ...stamp, message: token, feedback: patch },
    feedback: next,
  });
}

/**
 * Asks the server, once for each message of the page.
 * @param {string} token
 */
export async function loadVote(token) {
  if (token && !isReference(token) && !known.has(messageId(token))) {
    wanted.add(token);
    loading ??= new Promise((resolve) => setTimeout(resolve, GATHER_MS))
      .then(() => consented)
      .then(loadWanted);
    await loading;
  }
}

async function loadWanted() {
  const tokens = [...wanted];
  wanted.clear();
  loading = undefined;
  while (tokens[0]) {
    const messages = tokens.splice(0, MAX_TOKENS);
    const asked = Date.now();
    const answer = await post("/v1/feedback", { messages });
    messages.forEach((token, index) =>
      learn(messageId(token), answer.body.messages?.[index]?.feedback, asked),
    );
  }
}

/**
 * @param {string} id
 * @param {Feedback | null | undefined} confirmed
 * @param {number} asked a vote since then is newer than the answer
 */
function learn(id, confirmed, asked) {
  const { event, at = 0 } = voteOn(id) ?? {};
  if (confirmed !== undefined) {
    known.add(id);
    if (!event && at < asked && (at || confirmed)) {
      write(id, { feedback: confirmed, confirmed });
    }
  }
}

/**
 * @param {string} id
 * @param {VoteRecord} record
 */
function write(id, record) {
  const before = voteOn(id);
  writeRecord("v." + id, record);
  if (!isSame(before, record)) {
    tell("change", id);
  }
}

/**
 * @param {VoteRecord} [before]
 * @param {VoteRecord} [after]
 */
function isSame(before, after) {
  const [one, other] = [before, after].map((record) => JSON.stringify(record?.feedback ?? null));
  return one == other;
}

/**
 * @param {EventName} name
 * @param {string} message
 */
function tell(name, message) {
  emit(name, { message, feedback: voteOn(message)?.feedback ?? null });
}

/**
 * A refused vote gives way to what the server holds, unless there is a newer one.
 * @param {EventName} name
 * @param {Detail} detail
 */
function settle(name, { event, message = "", feedback = null }) {
  const record = event?.type == "feedback" && voteOn(message);
  if (record && name != "saved") {
    const confirmed = name == "sent" ? feedback : record.confirmed;
    write(
      message,
      record.event == event.id ? { feedback: confirmed, confirmed } : { ...record, confirmed },
    );
  }
}

export function watchVotes() {
  signal.addEventListener("abort", subscribe(settle));
  const hear = (/** @type {StorageEvent} */ { key, oldValue }) => {
    const message = key?.split(nameOf("v."))[1];
    if (message) {
      const before = attempt(() => JSON.parse(oldValue ?? ""));
      const after = voteOn(message);
      tell("change", message);
      // The other tab had the answer to what this one may have asked.
      if (before?.event && after && !after.event) {
        tell(isSame(before, after) ? "sent" : "error", message);
      }
    }
  };
  addEventListener("storage", hear, { signal });
}
