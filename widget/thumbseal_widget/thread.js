/** @import { Blank, Event, LiveThread, ThreadOptions } from "./types.js" */
import { emit, guard } from "./emitter.js";
import { stamp, tokenOf } from "./ids.js";
import { createMessage } from "./message.js";
import { enqueue, schedule } from "./queue.js";
import { readRecord, writeRecord } from "./store.js";
import { grantOf } from "./threads.js";
import { bindVote } from "./votes.js";

/** How many blank message tokens a thread likes to have at hand. */
const BLANKS = 8;
/** The server refuses a request that wants more. */
const MAX_WANT = 32;

/**
 * One conversation. What the page calls returns at once; the queue does the rest.
 * @param {string} key
 * @param {ThreadOptions} details said with the first event: a thread nobody uses is not recorded
 * @returns {LiveThread}
 */
export function createThread(key, details) {
  /** @type {Blank[]} */
  let blanks = [];
  /** What waits for a blank, by reference. @type {Map<string, (blank: Blank) => void>} */
  const unbound = new Map();
  let used = false;
  let asked = false;
  /** @type {() => void} */
  let opened;

  /**
   * @param {Event["type"]} type
   * @param {object} fields
   */
  const record = (type, fields) => {
    announce();
    guard(() => enqueue({ thread: key, event: { type, ...stamp(), ...fields } }));
  };

  const announce = () => {
    const { tags, metadata } = details;
    used = true;
    details = {};
    if (tags || metadata) {
      record("thread", { tags, metadata });
    }
  };

  /** @type {LiveThread} */
  const live = {
    thread: {
      get id() {
        return grantOf(key)?.id ?? null;
      },
      get token() {
        return grantOf(key)?.token ?? null;
      },
      ready: new Promise((resolve) => {
        opened = () => resolve(live.thread);
      }),
      message() {
        const { message, bind } = createMessage(key);
        const blank = grantOf(key) && blanks.shift();
        if (blank) {
          bindVote(message.ref, blank.id);
          bind(blank);
        } else {
          unbound.set(message.ref, bind);
          schedule();
        }
        return message;
      },
      trackMessage(fields, captured) {
        const {
          role,
          message = live.thread.message(),
          replyTo,
          retryOf,
          toolCalls,
          toolCallId,
          ...rest
        } = Object(fields);
        if (!captured) {
          emit("tracked", { role, handle: message });
        }
        record("message", {
          role,
          content: null,
          ...rest,
          tool_calls: toolCalls,
          tool_call_id: toolCallId,
          message: tokenOf(message),
          reply_to: tokenOf(replyTo),
          retry_of: tokenOf(retryOf),
        });
        return message;
      },
      trackEvent: (name, metadata) => record("custom", { name, metadata }),
      tag: (tags) => record("thread", { tags }),
    },
    take(more, anew) {
      asked ||= !!more;
      blanks = anew ? (more ?? []) : blanks.concat(more ?? []);
      if (grantOf(key)) {
        opened();
      }
      for (const [ref, bind] of unbound) {
        // Another tab may have bound it, to send what this one left.
        const blank = readRecord("b." + ref) ?? blanks.shift();
        if (blank) {
          unbound.delete(ref);
          writeRecord("b." + ref, blank);
          bindVote(ref, blank.id);
          bind(blank);
        }
      }
    },
    need(ref) {
      if (!ref) {
        asked = false;
      } else if (!unbound.has(ref)) {
        unbound.set(ref, () => {});
      }
    },
    needs: () => !live.refused && (!asked || !!unbound.size),
    want: () => Math.min(MAX_WANT, Math.max(0, BLANKS + unbound.size - blanks.length)),
    describe(metadata) {
      details = { ...details, metadata: { ...details.metadata, ...metadata } };
      if (used) {
        announce();
      }
    },
  };
  return live;
}
