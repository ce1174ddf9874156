/** @import { Blank, Event, LiveThread, ThreadOptions } from "./types.js" */
import { guard } from "./emitter.js";
import { stamp, tokenOf } from "./ids.js";
import { createMessage } from "./message.js";
import { enqueue } from "./queue.js";
import { signal } from "./session.js";
import { grantOf, openThread } from "./threads.js";
import { delay, wait } from "./transport.js";
import { knowMessage } from "./votes.js";

/** How many blank message tokens a thread likes to have at hand. */
const BLANKS = 8;

/**
 * One conversation. What the page calls returns at once; recording runs behind it.
 * @param {string} key
 * @param {ThreadOptions} details said with the first event: a thread nobody uses is not recorded
 * @returns {LiveThread}
 */
export function createThread(key, details) {
  /** @type {Blank[]} */
  let blanks = [];
  /** @type {ReturnType<typeof createMessage>[]} */
  const unbound = [];
  let opening = false;
  let used = false;
  /** @type {() => void} */
  let opened;

  /** Opens or resumes the thread, until every message is bound or the server refuses. */
  const open = async (failures = 0) => {
    if (!opening && !signal.aborted) {
      opening = true;
      const answer = await openThread(key);
      await (answer.retry && wait(delay(failures, answer)));
      opening = false;
      if (answer.retry || (unbound[0] && answer.body.messages?.[0])) {
        open(failures + 1);
      }
    }
  };

  /** @type {LiveThread["take"]} */
  const take = (more, anew) => {
    blanks = anew ? more : [...blanks, ...more];
    if (grantOf(key)) {
      opened();
    }
    for (let blank; unbound[0] && (blank = blanks.shift());) {
      knowMessage(blank.id);
      unbound.shift()?.bind(blank);
    }
  };

  const announce = () => {
    const { tags, metadata } = details;
    details = {};
    if (tags || metadata) {
      record("thread", () => ({ tags, metadata }));
    }
  };

  /**
   * Time and id are taken now; the event is queued when its tokens are there.
   * @param {Event["type"]} type
   * @param {() => object | Promise<object>} fill
   */
  const record = (type, fill) => {
    used = true;
    announce();
    const event = { type, ...stamp() };
    guard(async () => {
      await thread.ready;
      enqueue({ thread: key, event: { ...event, ...(await fill()) } });
    });
  };

  /** @type {LiveThread["thread"]} */
  const thread = {
    get id() {
      return grantOf(key)?.id ?? null;
    },
    get token() {
      return grantOf(key)?.token ?? null;
    },
    ready: new Promise((resolve) => {
      opened = () => resolve(thread);
    }),
    message() {
      const made = createMessage();
      unbound.push(made);
      take([]);
      if (unbound[0]) {
        open();
      }
      return made.message;
    },
    trackMessage(fields) {
      const {
        message = thread.message(),
        replyTo,
        retryOf,
        toolCalls,
        toolCallId,
        ...rest
      } = Object(fields);
      record("message", async () => ({
        content: null,
        ...rest,
        tool_calls: toolCalls,
        tool_call_id: toolCallId,
        message: await tokenOf(message),
        reply_to: await tokenOf(replyTo),
        retry_of: await tokenOf(retryOf),
      }));
      return message;
    },
    trackEvent: (name, metadata) => record("custom", () => ({ name, metadata })),
    tag: (tags) => record("thread", () => ({ tags })),
  };

  return {
    thread,
    open,
    take,
    want: () => Math.max(0, BLANKS + unbound.length - blanks.length),
    describe(metadata) {
      details = { ...details, metadata: { ...details.metadata, ...metadata } };
      if (used) {
        announce();
      }
    },
  };
}
