/** @import { Answer, EventName, Feedback, Item, VoteRecord } from "./types.js" */
import { emit } from "./emitter.js";
import { merge } from "./feedback.js";
import { messageId, threadOf } from "./ids.js";
import { dropRecord, nameOf, readRecord, writeRecord } from "./store.js";

// The vote on a message stands in a record by the message's id: elements come and go.

/** As many as the server answers at once. */
const MAX_READ = 200;

/** Ids of messages whose state needs no asking. @type {Set<string>} */
const known = new Set();
/** Tokens to ask for. @type {Set<string>} */
const wanted = new Set();

/**
 * @param {string | undefined} id
 * @returns {VoteRecord | undefined}
 */
function voteOn(id) {
  return readRecord("v." + id);
}

/**
 * @param {string | undefined} id
 * @returns {Feedback | null}
 */
export function feedbackOn(id) {
  return voteOn(id)?.feedback ?? null;
}

/**
 * Remembers what a person thinks now, until the server has said what it thinks of that.
 * @param {string} token
 * @param {Feedback} patch
 * @param {{id: string, at: number}} stamp
 * @returns {Item} what is to be sent
 */
export function turnVote(token, patch, stamp) {
  const id = messageId(token);
  const { feedback = null, confirmed = null } = voteOn(id) ?? {};
  const next = merge(feedback, patch);
  write(id, { feedback: next, confirmed, event: stamp.id });
  return {
    event: { type: "feedback", ...stamp, message: token, feedback: patch },
    feedback: next,
    thread: threadOf(token),
  };
}

/**
 * A refused vote gives way to what the server holds, unless there is a newer one.
 * @param {string} id
 * @param {string} event
 * @param {"sent" | "error"} outcome
 * @param {Feedback | null} accepted what the server holds if it took the event
 */
export function settleVote(id, event, outcome, accepted) {
  const record = voteOn(id);
  if (record) {
    const confirmed = outcome == "sent" ? accepted : record.confirmed;
    const isLast = record.event == event;
    write(id, isLast ? { feedback: confirmed, confirmed, outcome } : { ...record, confirmed });
  }
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
 * Whether the server is still to be asked, once for each message of the page.
 * @param {string} token
 */
export function wantVote(token) {
  const asks = !!token && !threadOf(token) && !known.has(messageId(token));
  if (asks) {
    wanted.add(token);
  }
  return asks;
}

/** The tokens to ask for next. */
export function listWanted() {
  return [...wanted].slice(0, MAX_READ);
}

/**
 * @param {string[]} asked
 * @param {number} since a vote since then is newer than the answer
 * @param {Answer["read"]} [states] in the order asked; without them nobody asks again
 */
export function learnVotes(asked, since, states) {
  asked.forEach((token, index) => {
    const feedback = states?.[index]?.feedback;
    const id = messageId(token);
    const { event, at = 0 } = voteOn(id) ?? {};
    wanted.delete(token);
    if (feedback !== undefined) {
      known.add(id);
      if (!event && at < since && (at || feedback)) {
        write(id, { feedback, confirmed: feedback });
      }
    }
  });
}

/** @param {StorageEvent} event another tab's */
export function hearVote({ key }) {
  const message = key?.split(nameOf("v."))[1];
  const outcome = voteOn(message)?.outcome;
  if (message) {
    tell("change", message);
    // It had the answer to what this tab may have asked.
    if (outcome) {
      tell(outcome, message);
    }
  }
}

/**
 * @param {string} id
 * @param {VoteRecord} record
 */
function write(id, record) {
  const before = textOf(id);
  writeRecord("v." + id, record);
  if (before != textOf(id)) {
    tell("change", id);
  }
}

/** @param {string} id */
function textOf(id) {
  return JSON.stringify(feedbackOn(id));
}

/**
 * @param {EventName} name
 * @param {string} message
 */
function tell(name, message) {
  emit(name, { message, feedback: feedbackOn(message) });
}
