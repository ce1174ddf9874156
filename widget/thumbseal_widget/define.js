import { ThumbSeal } from "./element.js";
import { start } from "./start.js";

const NAME = "thumb-seal";

/**
 * Makes `<thumb-seal>` work in the page, unless an earlier script did.
 * @returns what starts the client of those elements
 */
export function define() {
  const known = /** @type {typeof ThumbSeal | undefined} */ (customElements.get(NAME));
  if (!known) {
    ThumbSeal.createClient = start;
    customElements.define(NAME, ThumbSeal);
  }
  return (known ?? ThumbSeal).createClient;
}
