/** What the page sees, and what goes over the wire. Checked by tsc, never run. */
/** Rendered into the script by the server; `data-*` on the tag wins. */
export interface Settings {
  site?: string;
  /** Base URL of the proxy; null: the script's own address without `/widget.js`. */
  server?: string | null;
  policy?: Policy;
  /** A selector that narrows the automatic thumbs, or `off`. */
  attach?: string;
}

export interface Policy {
  browser_roles?: string[];
  reasons?: string[];
}

export type Thumb = "up" | "down";

/** What one actor thinks of one message. A key that is absent says nothing. */
export interface Feedback {
  thumb?: Thumb | null;
  reasons?: string[] | null;
  comment?: string | null;
  score?: number | null;
  correction?: string | null;
}

export type Metadata = Record<string, unknown>;

export interface ThreadOptions {
  /** The page's own name for the conversation; the same id resumes it after a reload. */
  id?: string;
  tags?: string[];
  metadata?: Metadata;
}

export interface MessageFields {
  role: "user" | "assistant" | "tool" | "system";
  content?: string | object[] | null;
  /** A message reserved before with `thread.message()`. */
  message?: MessageHandle;
  name?: string;
  toolCalls?: object[];
  toolCallId?: string;
  replyTo?: MessageRef;
  retryOf?: MessageRef;
  tags?: string[];
  metadata?: Metadata;
}

export interface MessageHandle {
  /** Null until the server's blank token is bound, as when offline. */
  readonly id: string | null;
  readonly token: string | null;
  readonly ready: Promise<MessageHandle>;
  headers(): Record<string, string>;
}

export type MessageRef = MessageHandle | string;

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

/** An event on its way to the server; the fields beyond these depend on its type. */
export interface Event {
  type: "message" | "feedback" | "thread" | "custom";
  id: string;
  at: number;
  message?: string;
  [field: string]: unknown;
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

export type EventName = "change" | "saved" | "sent" | "error";

/** What listeners get; `message` is the message's id. */
export interface Detail {
  message?: string;
  feedback?: Feedback | null;
  event?: Event;
  code?: string;
  error?: unknown;
}

/** A thread and what the queue does with it. */
export interface LiveThread {
  thread: Thread;
  open(): Promise<void>;
  /** `anew`: the old thread could not be resumed, so its blanks are worthless. */
  take(blanks: Blank[], anew?: boolean): void;
  want(): number;
  /** Merged into the thread at once, or with its first event. */
  describe(metadata: Metadata): void;
}

export interface Thread {
  /** Null until the thread is open. */
  readonly id: string | null;
  readonly token: string | null;
  readonly ready: Promise<Thread>;
  /** A message whose id the backend may know before its content exists, as of a streamed answer. */
  message(): MessageHandle;
  trackMessage(fields: MessageFields): MessageHandle;
  trackEvent(name: string, metadata?: Metadata): void;
  /** Replaces the thread's tags. */
  tag(tags: string[]): void;
}

/** `window.thumbseal`. */
export interface Client {
  /** Works before the script is there, too: `(window.thumbseal ??= {q: []}).q.push(fn)`. */
  q: { push(call: (client: Client) => void): void };
  openThread(options?: ThreadOptions): Thread;
  /** Merged into what is there; null removes. */
  trackFeedback(message: MessageRef, feedback: Feedback): void;
  /** What this browser knows, else what the server knows. */
  getFeedback(message: MessageRef): Promise<Feedback | null>;
  /** Who the page says is speaking, recorded as a claim. */
  identify(user: string, props?: Metadata): void;
  /** Resolves when what waits was tried. */
  flush(): Promise<unknown>;
  /** Returns what unsubscribes. */
  on(name: EventName, listener: (detail: Detail) => void): () => void;
  /** Puts thumbs under the messages of a place, as they come; returns what takes them away. */
  attach(target?: string | Document | ShadowRoot | Element): () => void;
  destroy(): void;
}

/** What a page may put at `window.thumbseal` before the script is there. */
export interface Stub {
  q?: ((client: Client) => void)[];
  destroy?: unknown;
}

declare global {
  interface Window {
    thumbseal?: Client;
  }
  /** The parameter of the joined function that surrounds boot.js. */
  const settings: Settings | undefined;
}
