/** @import { Strings, Thumb } from "./types.js" */
import { build } from "./build.js";
import { icon } from "./icons.js";
import { english } from "./strings.js";

/** @param {Thumb | "more"} name */
export function createButton(name) {
  return build("button", { name, part: "button " + name }, build("slot", { name }, icon(name)));
}

/**
 * Writes only what differs: a browser styles again what is written, also if it is the same.
 * @param {any} element
 * @param {object} properties
 */
function change(element, properties) {
  for (const [key, value] of Object.entries(properties)) {
    if (element[key] != value) {
      element[key] = value;
    }
  }
}

/**
 * What the group and its buttons say of themselves.
 * @param {HTMLElement} group
 * @param {Strings} strings
 * @param {Thumb | null} [thumb] that is pressed
 * @param {boolean} [closed] whether pressing does nothing
 */
export function describe(group, { lang, dir, group: ariaLabel, ...names }, thumb, closed = false) {
  change(group, { lang, dir, ariaLabel });
  group.querySelectorAll("button[name]").forEach((/** @type {any} */ button) => {
    const title = names[/** @type {Thumb} */ (button.name)];
    const ariaPressed = button.name == "more" ? null : `${button.name == thumb}`;
    change(button, { title, ariaLabel: title, ariaPressed, ariaDisabled: `${closed}` });
  });
}

/** Two thumbs and a live region. Each element has a copy, which is faster than to build it. */
export const template = build(
  "div",
  { role: "group", part: "group" },
  createButton("up"),
  createButton("down"),
  build("span", { role: "status", part: "status" }),
);
describe(template, english);
