/** @import { Thumb } from "./types.js" */
import { build } from "./build.js";
import { icon } from "./icons.js";

/** Copied for each element, which is faster than to build it. @type {HTMLElement | undefined} */
let template;

/** Two thumbs and a live region. @returns {HTMLElement} */
export function createGroup() {
  template ??= build(
    "div",
    { role: "group", part: "group" },
    createButton("up", "false"),
    createButton("down", "false"),
    build("span", { role: "status", part: "status" }),
  );
  return /** @type {HTMLElement} */ (template.cloneNode(true));
}

/**
 * @param {Thumb | "more"} name
 * @param {string | null} [ariaPressed] of a button that stays pressed
 */
export function createButton(name, ariaPressed = null) {
  return build(
    "button",
    { type: "button", name, part: "button " + name, ariaPressed },
    build("slot", { name }, icon(name)),
  );
}
