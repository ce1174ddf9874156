/** @import { Detail, EventName, Feedback, Thumb } from "./types.js" */
import { createClient, getFeedback, trackFeedback } from "./client.js";
import { subscribe } from "./emitter.js";
import { icon } from "./icons.js";
import { messageId } from "./ids.js";
import { strings } from "./strings.js";
import { sheet } from "./style.js";

/** A screen reader notices a text only if its live region was there, and empty, before. */
const SAY_AFTER_MS = 50;
const SAY_FOR_MS = 5000;

/** `<thumb-seal message="TOKEN">`: two thumbs for one message. */
export class ThumbSeal extends HTMLElement {
  static observedAttributes = ["message"];
  /** A page can define the element once: a script that comes again starts this one's client. */
  static createClient = createClient;

  /** @type {Thumb | null} */
  #thumb = null;
  /** What a person who voted here was told; null if nobody waits to hear. @type {string | null} */
  #told = null;
  #up = this.#button("up");
  #down = this.#button("down");
  #status = build("span", { role: "status", part: "status" });
  /** @type {number | undefined} */
  #timer;
  /** @type {(() => void) | undefined} */
  #end;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet()];
    const group = build("div", { role: "group", ariaLabel: strings.group, part: "group" });
    group.append(this.#up, this.#down);
    root.append(group, this.#status);
  }

  connectedCallback() {
    this.#end = subscribe((name, detail) => this.#hear(name, detail));
    this.attributeChangedCallback();
  }

  disconnectedCallback() {
    this.#end?.();
    this.#end = undefined;
  }

  async attributeChangedCallback() {
    const token = this.#token;
    this.#show(null);
    const feedback = this.#end && (await getFeedback(token));
    if (token == this.#token) {
      this.#show(feedback);
    }
  }

  get #token() {
    return this.getAttribute("message") ?? "";
  }

  /** @param {Thumb} thumb */
  #button(thumb) {
    const title = strings[thumb];
    const button = build("button", {
      type: "button",
      part: "button " + thumb,
      ariaLabel: title,
      title,
    });
    button.append(icon());
    button.onclick = () => this.#vote(thumb);
    return button;
  }

  /** @param {Feedback | null | undefined} feedback */
  #show(feedback) {
    const thumb = feedback?.thumb ?? null;
    this.#thumb = thumb;
    this.#up.ariaPressed = `${thumb == "up"}`;
    this.#down.ariaPressed = `${thumb == "down"}`;
  }

  /**
   * Pressing the pressed thumb takes the vote back.
   * @param {Thumb} pressed
   */
  #vote(pressed) {
    const thumb = pressed == this.#thumb ? null : pressed;
    if (this.#dispatch("change", { thumb, previous: this.#thumb })) {
      this.#told = "";
      trackFeedback(this.#token, { thumb });
    }
  }

  /**
   * @param {EventName} name
   * @param {Detail} detail
   */
  #hear(name, { message, event, feedback, code }) {
    if (message != messageId(this.#token) || (event && event.type != "feedback")) {
      return;
    }
    if (name == "change") {
      this.#show(feedback);
    } else if (this.#told != null) {
      this.#say(strings[name == "sent" && !this.#thumb ? "removed" : name]);
      if (name != "saved") {
        this.#told = null;
        this.#dispatch(name, { thumb: this.#thumb, code });
      }
    }
  }

  /**
   * @param {EventName} name
   * @param {object} detail
   * @returns {boolean} false if a listener cancelled it
   */
  #dispatch(name, detail) {
    const token = this.#token;
    return this.dispatchEvent(
      new CustomEvent("thumbseal-" + name, {
        bubbles: true,
        composed: true,
        cancelable: name == "change",
        detail: { message: messageId(token), token, ...detail },
      }),
    );
  }

  /** @param {string} text said once for each vote, then cleared */
  #say(text) {
    const write = (text = "") => {
      this.#status.textContent = text;
    };
    if (this.#told != text) {
      this.#told = text;
      write();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        write(text);
        this.#timer = setTimeout(write, SAY_FOR_MS);
      }, SAY_AFTER_MS);
    }
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {object} properties
 */
function build(name, properties) {
  return Object.assign(document.createElement(name), properties);
}
