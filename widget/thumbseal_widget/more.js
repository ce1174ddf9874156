/** @import { View } from "./types.js" */
import { createButton } from "./buttons.js";
import { guard } from "./emitter.js";
import { fetchFile } from "./files.js";
import { options } from "./session.js";

/** @type {Promise<any> | undefined} */
let forming;

/** The form's file, ahead of need: a person may press the thumb offline. */
export function fetchForm() {
  forming ??= fetchFile("form.mjs");
  forming.catch(() => {
    forming = undefined;
  });
  return forming;
}

/**
 * The button that opens and closes the form: there once there is a vote to say more of.
 * @param {Element} thumb that it stands behind
 * @param {() => View} look at the vote of now
 */
export function createMore(thumb, look) {
  /** @type {HTMLButtonElement | undefined} */
  let button;
  let close = () => {};

  const asks = () => {
    const { host, feedback } = look();
    const mode = host.getAttribute("comment") ?? options.comment ?? "down";
    return feedback.thumb && [feedback.thumb, "always"].includes(mode);
  };

  const open = () =>
    guard(async () => {
      const { openForm } = await fetchForm();
      if (button && asks()) {
        close();
        close = openForm(button, look());
      }
    });

  return {
    open,
    /** @param {() => void} speak for a button that is new */
    show(speak) {
      if (asks() && !button) {
        button = createButton("more");
        button.onclick = () => (button?.ariaExpanded == "true" ? close() : open());
        thumb.after(button);
        speak();
      }
      if (button && (button.hidden = !asks())) {
        close();
      }
    },
  };
}
