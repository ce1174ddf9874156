/** @import { Detail, EventName, Feedback, Strings, Thumb, View } from "./types.js" */
import { build } from "./build.js";
import { createClient, getFeedback, trackFeedback } from "./client.js";
import { guard, subscribe } from "./emitter.js";
import { FILES } from "./files.js";
import { icon } from "./icons.js";
import { messageId } from "./ids.js";
import { options } from "./session.js";
import { english, stringsFor } from "./strings.js";
import { sheet } from "./style.js";

/** A screen reader notices a text only if its live region was there, and empty, before. */
const SAY_AFTER_MS = 50;
const SAY_FOR_MS = 5000;

/** `<thumb-seal message="TOKEN">`: two thumbs for one message, and a form. */
export class ThumbSeal extends HTMLElement {
  static observedAttributes = ["message", "lang", "disabled"];
  /** A page can define the element once: a script that comes again starts this one's client. */
  static createClient = createClient;

  /** @type {Strings} */
  #strings = english;
  /** @type {Feedback} */
  #feedback = {};
  /** What a person who voted here was told; null if nobody waits to hear. @type {string | null} */
  #told = null;
  #up = this.#button("up");
  #down = this.#button("down");
  #more = this.#button("more");
  #status = build("span", { role: "status", part: "status" });
  #buttons = [this.#up, this.#down, this.#more];
  #group = build("div", { role: "group", part: "group" }, ...this.#buttons, this.#status);
  #close = () => {};
  /** @type {number | undefined} */
  #timer;
  /** @type {(() => void) | undefined} */
  #end;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet()];
    root.append(this.#group);
    this.#speak(english);
    this.#show(null);
  }

  connectedCallback() {
    this.#end = subscribe((name, detail) => this.#hear(name, detail));
    this.attributeChangedCallback();
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#end?.();
    this.#end = undefined;
  }

  /** @param {string} [name] */
  async attributeChangedCallback(name) {
    const token = this.#token;
    if (name == "message") {
      this.#show(null);
    }
    if (this.#end) {
      this.#speak(await stringsFor(this));
      const feedback = await getFeedback(token);
      if (token == this.#token) {
        this.#show(feedback);
      }
    }
  }

  get #token() {
    return this.getAttribute("message") ?? "";
  }

  get #thumb() {
    return this.#feedback.thumb ?? null;
  }

  /** @param {Thumb | "more"} name */
  #button(name) {
    return build(
      "button",
      { type: "button", name, part: "button " + name, onclick: () => this.#press(name) },
      build("slot", { name }, icon(name)),
    );
  }

  /** @param {Strings} strings */
  #speak(strings) {
    const { lang, dir, group } = strings;
    this.#strings = strings;
    Object.assign(this.#group, { lang, dir, ariaLabel: group });
    this.#buttons.forEach((button) => {
      button.ariaLabel = button.title = strings[/** @type {Thumb} */ (button.name)];
      button.ariaDisabled = `${this.hasAttribute("disabled")}`;
    });
  }

  /** @param {Feedback | null | undefined} feedback */
  #show(feedback) {
    this.#feedback = feedback ?? {};
    for (const button of [this.#up, this.#down]) {
      button.ariaPressed = `${button.name == this.#thumb}`;
    }
    if ((this.#more.hidden = !this.#asks())) {
      this.#close();
    }
  }

  /** Whether there is a form for the vote of now. */
  #asks() {
    const mode = this.getAttribute("comment") ?? options.comment ?? "down";
    return !!this.#thumb && [this.#thumb, "always"].includes(mode);
  }

  /**
   * Pressing the pressed thumb takes the vote back.
   * @param {Thumb | "more"} name
   */
  #press(name) {
    if (name != "more") {
      this.#record({ thumb: name == this.#thumb ? null : name });
    }
    if (name == "more" && this.#more.ariaExpanded == "true") {
      this.#close();
    } else if (this.#asks()) {
      this.#open();
    }
  }

  /** @param {Feedback} feedback */
  #record(feedback) {
    const thumb = this.#thumb;
    if (this.hasAttribute("disabled")) {
      this.#say(this.#strings.disabled);
      this.#told = null;
    } else if (this.#dispatch("change", { thumb, ...feedback, previous: thumb })) {
      this.#told = "";
      trackFeedback(this.#token, feedback);
    }
  }

  #open() {
    guard(async () => {
      const { openForm } = await import(options.server + FILES + "form.mjs");
      if (this.#asks()) {
        this.#close();
        /** @type {View} */
        const view = {
          options,
          strings: this.#strings,
          feedback: this.#feedback,
          record: (feedback) => this.#record(feedback),
        };
        this.#close = openForm(this.#more, view);
      }
    });
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
      this.#say(this.#strings[name == "sent" && !this.#thumb ? "removed" : name]);
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
