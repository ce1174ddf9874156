/** @import { Event, LiveThread, Metadata, Thread, ThreadOptions } from "./types.js" */
import { emit, guard } from "./emitter.js";
import { stamp, tokenOf } from "./ids.js";
import { createMessage } from "./message.js";
import { enqueue, schedule } from "./queue.js";
import { NAMED, grantOf, live, liveThread } from "./threads.js";
import { bindVote } from "./votes.js";

/** @type {Metadata | undefined} */
let claim;

/** @param {ThreadOptions} options */
export function openThread({ id, tags, metadata }) {
  const key = id ? NAMED + id : stamp().id;
  const made = liveThread(key);
  return (made.thread ??= createThread(key, made, { tags, metadata }));
}

/** @param {Metadata} claimed metadata for the threads of now and later */
export function identify(claimed) {
  claim = claimed;
  live.forEach(({ describe }) => describe?.(claimed));
}

/**
 * One conversation. What the page calls returns at once; the queue does the rest.
 * @param {string} key
 * @param {LiveThread} made
 * @param {ThreadOptions} details said with the first event: a thread nobody uses is not recorded
 * @returns {Thread}
 */
function createThread(key, made, details) {
  let used = false;

  const ask = () => {
    made.asks = true;
    schedule();
  };

  /**
   * @param {Event["type"]} type
   * @param {object} fields
   */
  const record = (type, fields) => {
    announce();
    guard(() => enqueue({ thread: key, event: { type, ...stamp(), ...fields } }));
  };

  const announce = () => {
    const said = details;
    used = true;
    details = {};
    if (said.tags || said.metadata) {
      record("thread", said);
    }
  };

  made.describe = (metadata) => {
    details = { ...details, metadata: { ...details.metadata, ...metadata } };
    if (used) {
      announce();
    }
  };
  if (claim) {
    made.describe(claim);
  }

  /** @type {Thread} */
  const thread = {
    get id() {
      return grantOf(key)?.id ?? null;
    },
    get token() {
      return grantOf(key)?.token ?? null;
    },
    ready: new Promise((resolve) => {
      made.opened = () => resolve(thread);
    }),
    message(named = "") {
      const ref = named || "~" + stamp().id + key;
      const waiting = made.unbound.get(ref) ?? createMessage(ref);
      const blank = !named && grantOf(key) && made.blanks.shift();
      if (blank) {
        bindVote(ref, blank.id);
        waiting.bind(blank);
      } else {
        made.unbound.set(ref, waiting);
        ask();
      }
      return waiting.message;
    },
    trackMessage(given, captured) {
      /** @type {any} */
      const fields = { content: null, ...given };
      const message = (fields.message ??= thread.message());
      if (!captured) {
        emit("tracked", fields);
      }
      record("message", wired(fields));
      return message;
    },
    trackEvent: (name, metadata) => record("custom", { name, metadata }),
    tag: (tags) => record("thread", { tags }),
  };
  if (grantOf(key)) {
    made.opened?.();
  }
  ask();
  return thread;
}

/**
 * What the page says, as the server spells it: names in snake case, messages by their tokens.
 * @param {object} fields
 */
function wired(fields) {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase()),
      /^(message|re)/.test(name) ? tokenOf(value) : value,
    ]),
  );
}
