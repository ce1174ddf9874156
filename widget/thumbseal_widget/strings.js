/** @import { Strings } from "./types.js" */
import { fetchFile } from "./files.js";
import { options } from "./session.js";

/** What a person can see or hear but for the form; `sent` and below tell what became of a vote. */
export const english = {
  lang: "en",
  // As the page has it, which may be Hebrew.
  dir: "",
  group: "Rate this answer",
  up: "Good answer",
  down: "Bad answer",
  more: "Tell us more",
  disabled: "Rating is closed",
  sent: "Thanks",
  removed: "Vote removed",
  saved: "Saved, will be sent later",
  error: "Not accepted, undone",
};

/**
 * The texts in the language that surrounds an element, else in the browser's; English where the
 * server has no other.
 * @param {Element} element
 * @returns {Promise<Strings>}
 */
export async function stringsFor(element) {
  /** @type {HTMLElement} */
  const { lang } = element.closest("[lang]") ?? document.documentElement;
  await null; // a page may start the client just after it has defined the element
  const wanted = options.lang || lang || navigator.language;
  const code = /^(ar|de|es|fr|hi|it|ja|nl|pl|pt|zh)\b/.exec(wanted)?.[0];
  return code
    ? fetchFile(`languages/${code}.mjs`).then(
        (file) => file.default,
        () => english,
      )
    : english;
}
