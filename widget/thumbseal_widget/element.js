import { start } from "./start.js";
import { createView } from "./view.js";

/** `<thumb-seal message="TOKEN">`: two thumbs for one message, and a form. */
export class ThumbSeal extends HTMLElement {
  static observedAttributes = ["message", "lang", "disabled"];
  /** A page can define the element once: a script that comes again starts this one's client. */
  static start = start;

  #view = createView(this);

  connectedCallback() {
    this.#view.connect();
  }

  disconnectedCallback() {
    this.#view.disconnect();
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    this.#view.update(name);
  }
}
