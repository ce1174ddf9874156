/** What goes over the wire and between the modules. Checked by tsc, never run. */
import type { Event, Feedback, MessageHandle, Metadata, Settings, Thread } from "./thumbseal.js";

export * from "./thumbseal.js";

/** The files in `languages` hold all of both. */
export type Strings = typeof import("./strings.js").english & Partial<FormStrings>;

export interface FormStrings {
  comment: string;
  send: string;
  cancel: string;
}

/** What the form needs of the element it belongs to. */
export interface View {
  options: Settings;
  strings: Strings;
  feedback: Feedback;
  record(feedback: Feedback): void;
}

/** A signed message id as the server mints it. */
export interface Blank {
  id: string;
  token: string;
}

export interface ThreadGrant {
  id: string;
  token: string;
  expires: number;
}

/** A queued event: the key of its thread where it needs one, and what a vote leads to. */
export interface Item {
  event: Event;
  thread?: string;
  feedback?: Feedback | null;
}

export interface Result {
  status: "accepted" | "duplicate" | "rejected";
  code?: string;
  field?: string;
  retry?: boolean;
}

export interface Answer {
  /** The HTTP status; 0 where no answer came. */
  status: number;
  /** Whether the same request may succeed later. */
  retry: boolean;
  /** Milliseconds that the server asks to wait, or 0. */
  pause: number;
  body: {
    results?: Result[];
    messages?: any[];
    thread?: ThreadGrant;
    error?: { code?: string; retry?: boolean };
  };
}

/** The vote on one message as this browser knows it. */
export interface VoteRecord {
  feedback: Feedback | null;
  /** What the server holds, restored if it refuses a later vote. */
  confirmed: Feedback | null;
  /** Id of the newest event, while it is unanswered. */
  event?: string;
  at?: number;
}

/** A thread and what the queue does with it. */
export interface LiveThread {
  thread: Thread;
  /** Whether the server gave no blank when asked: it is not asked again. */
  refused?: boolean;
  /**
   * Binds what waits. `anew`: the old thread could not be resumed, so its blanks are worthless.
   */
  take(blanks?: Blank[], anew?: boolean): void;
  /** The thread is to be opened, or a message of another page bound, too. */
  need(ref?: string): void;
  needs(): boolean;
  want(): number;
  /** Merged into the thread at once, or with its first event. */
  describe(metadata: Metadata): void;
}

/** Versions of one text in the page, and the message (token or reference) of each. */
export type Turn = Record<string, string>;

/** A message that stands in the page, and the checksum that its text is known by. */
export interface Found {
  element: Element;
  role: "user" | "assistant";
  text: string;
  key: string;
}

/** What the script gives to the file that watches the page: a list, for names cost bytes. */
export type Tools = [
  options: Settings,
  signal: AbortSignal,
  quiet: boolean,
  /** The last message of each role that the page recorded itself. */
  tracked: Record<string, MessageHandle | undefined>,
  isAllowed: () => boolean,
  guard: typeof import("./emitter.js").guard,
  subscribe: typeof import("./emitter.js").subscribe,
  readRecord: typeof import("./store.js").readRecord,
  writeRecord: typeof import("./store.js").writeRecord,
  startThread: typeof import("./threads.js").startThread,
];

/** A conversation captured from the page. */
export interface Talk {
  /** The name of its thread. */
  id: string;
  turns: Turn[];
}

declare global {
  interface Navigator {
    globalPrivacyControl?: boolean;
  }
  /** The parameter of the joined function that surrounds boot.js. */
  const settings: Settings | undefined;
}
