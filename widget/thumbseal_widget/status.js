/** A screen reader notices a text only if its live region was there, and empty, before. */
const SAY_AFTER_MS = 50;
const SAY_FOR_MS = 5000;

/**
 * What says a text in a live region, and clears it again; without a text it stops at once.
 * @param {Element} region
 */
export function createStatus(region) {
  /** @type {number | undefined} */
  let timer;
  const say = (text = "") => {
    clearTimeout(timer);
    region.textContent = "";
    if (text) {
      timer = setTimeout(() => {
        region.textContent = text;
        timer = setTimeout(say, SAY_FOR_MS);
      }, SAY_AFTER_MS);
    }
  };
  return say;
}
