import { ThumbSeal } from "./element.js";

const NAME = "thumb-seal";

/**
 * Makes `<thumb-seal>` work in the page, unless an earlier script did.
 * @returns what starts the client of those elements
 */
export function define() {
  const defined = customElements.get(NAME);
  if (!defined) {
    customElements.define(NAME, ThumbSeal);
  }
  return /** @type {typeof ThumbSeal} */ (defined ?? ThumbSeal).start;
}
