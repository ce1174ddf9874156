/**
 * Thumbseal for pages: `widget.mjs` and `window.thumbseal`. Hand-written, checked against the code.
 */

/** Starts the client. A page has one; what is in it neither throws nor rejects. */
export declare function createClient(settings: Settings): Client;

/** Makes `<thumb-seal>` work, and returns what starts the client of a page that has them. */
export declare function define(): (settings: Settings) => PageClient;

/** `<thumb-seal message="TOKEN">`: two thumbs for one message. */
export declare class ThumbSeal extends HTMLElement {}

/** The attributes of `<thumb-seal>`. */
export interface ThumbSealAttributes {
  /** The message's signed token. */
  message?: string;
  /** After which thumb the form opens: `down`, `up`, `always` or `never`. */
  comment?: string;
  /** Reasons in place of the site's, separated by bars. */
  reasons?: string;
  /** What the form asks for, of `comment`, `score` and `correction`; `comment` if it does not say. */
  fields?: string;
  disabled?: boolean | "";
  lang?: string;
}

/** What an element tells its page. `thumbseal-change` comes first and can be cancelled. */
export interface ThumbSealDetail {
  /** The message's id. */
  message: string;
  token: string;
  thumb: Thumb | null;
  /** In `thumbseal-change`: the vote until now. */
  previous?: Thumb | null;
  /** In `thumbseal-change` from the form. */
  reasons?: string[] | null;
  comment?: string | null;
  score?: number | null;
  correction?: string | null;
  /** In `thumbseal-error`: why. */
  code?: string;
}

/** Rendered into the script by the server; `data-*` on the tag wins. */
export interface Settings {
  site?: string;
  /** Base URL of the proxy; null: the script's own address without `/widget.js`. */
  server?: string | null;
  policy?: Policy;
  /** A selector that narrows the automatic thumbs, or `off`. */
  attach?: string;
  /** Selectors of the messages to record from the page. */
  user?: string;
  assistant?: string;
  /** Paths of this origin, and whole URLs, whose requests carry the prompt's headers. */
  propagate?: string;
  consent?: "required" | string;
  gpc?: "respect" | "ignore" | string;
  persist?: "local" | "session" | "none" | string;
  beforeSend?: (event: Event) => Event | null | undefined;
  /** After which thumb the form opens: `down` unless it says `up`, `always` or `never`. */
  comment?: string;
  /** Reasons in place of the policy's, separated by bars. */
  reasons?: string;
  /** What the form asks for, of `comment`, `score` and `correction`. */
  fields?: string;
  /** A language in place of the page's. */
  lang?: string;
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
  /** Names the message in events until its token is bound. */
  readonly ref: string;
  readonly ready: Promise<MessageHandle>;
  headers(): Record<string, string>;
}

export type MessageRef = MessageHandle | string;

/** An event on its way to the server; the fields beyond these depend on its type. */
export interface Event {
  type: "message" | "feedback" | "thread" | "custom";
  id: string;
  at: number;
  message?: string;
  [field: string]: unknown;
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

export interface Thread {
  /** Null until the thread is open. */
  readonly id: string | null;
  readonly token: string | null;
  readonly ready: Promise<Thread>;
  /** A message whose id the backend may know before its content exists, as of a streamed answer.
   * With the `ref` of an earlier one: that message. */
  message(ref?: string): MessageHandle;
  trackMessage(fields: MessageFields, captured?: boolean): MessageHandle;
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
  /** The last word on each event before it is stored: what it returns is sent, null withholds. */
  beforeSend(hook: (event: Event) => Event | null | undefined): void;
  /** Lets what waited be stored and sent, or empties the storage. */
  consent(given: boolean): void;
  readonly ready: Promise<Client>;
  /** Returns what unsubscribes. */
  on(name: EventName, listener: (detail: Detail) => void): () => void;
  destroy(): void;
}

/** The client of a page with elements. */
export interface PageClient extends Client {
  /** Puts thumbs under the messages of a place, as they come; returns what takes them away. */
  attach(target?: string | Document | ShadowRoot | Element): () => void;
}

/** What a page may put at `window.thumbseal` before the script is there. */
export interface Stub {
  q?: ((client: Client) => void)[];
  destroy?: unknown;
}

declare global {
  interface Window {
    /** Once `widget.js` runs; `widget.mjs` leaves it alone. */
    thumbseal?: PageClient;
  }
  interface HTMLElementTagNameMap {
    "thumb-seal": ThumbSeal;
  }
  interface GlobalEventHandlersEventMap {
    "thumbseal-change": CustomEvent<ThumbSealDetail>;
    "thumbseal-sent": CustomEvent<ThumbSealDetail>;
    "thumbseal-error": CustomEvent<ThumbSealDetail>;
  }
  /** For JSX that looks here, such as Preact's and React's until 18; newer ones have a
   * namespace of their own to put the same line into. */
  namespace JSX {
    interface IntrinsicElements {
      "thumb-seal": ThumbSealAttributes & { [attribute: string]: unknown };
    }
  }
}
