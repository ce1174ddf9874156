/** What goes over the wire and between the modules. Checked by tsc, never run. */
import type { Event, Feedback, MessageHandle, Metadata, Settings, Thread } from "./thumbseal.js";

export * from "./thumbseal.js";

/** The files in `languages` hold all of both. */
export type Strings = typeof import("./strings.js").english & Partial<FormStrings>;

export interface FormStrings {
  comment: string;
  score: string;
  correction: string;
  send: string;
  cancel: string;
}

/** An element and the vote in it, as the form needs them. */
export interface View {
  host: Element;
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

/** What one request holds; its thread's key is empty where it needs none. */
export interface Batch {
  key: string;
  items: Item[];
  body: { read: string[]; events: Event[] };
}

export interface Result {
  status: string;
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
  results?: Result[];
  messages?: Blank[];
  /** Tokens of messages by their references. */
  bound?: Record<string, Blank>;
  read?: { id?: string; feedback?: Feedback | null }[];
  thread?: ThreadGrant;
  error?: { code?: string; retry?: boolean };
}

/** The vote on one message as this browser knows it. */
export interface VoteRecord {
  feedback: Feedback | null;
  /** What the server holds, restored if it refuses a later vote. */
  confirmed: Feedback | null;
  /** Id of the newest event, while it is unanswered. */
  event?: string;
  /** The answer to it. */
  outcome?: "sent" | "error";
  at?: number;
}

/** A message, and what gives it its token. */
export interface BoundMessage {
  message: MessageHandle;
  bind(blank: Blank): void;
}

/** What this tab has and needs of a thread. */
export interface LiveThread {
  /** The one that the page uses; a thread whose events another page left has none. */
  thread?: Thread;
  blanks: Blank[];
  /** What waits for a token, by reference. */
  unbound: Map<string, BoundMessage>;
  /** Whether the server is to be asked for tokens. */
  asks?: boolean;
  opened?(): void;
  /** Merged into the thread at once, or with its first event. */
  describe?(metadata: Metadata): void;
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
  quiet: boolean | undefined,
  /** The last message of each role that the page recorded itself. */
  tracked: Record<string, MessageHandle | undefined>,
  isAllowed: () => boolean,
  guard: typeof import("./emitter.js").guard,
  readRecord: typeof import("./store.js").readRecord,
  writeRecord: typeof import("./store.js").writeRecord,
  openThread: typeof import("./thread.js").openThread,
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
  const settings: Settings;
}
