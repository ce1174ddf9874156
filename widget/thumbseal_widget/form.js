/** @import { Feedback, FormStrings, View } from "./types.js" */
import { build } from "./build.js";

// Fetched at the first press that opens it: most people who press a thumb up never need it.

/** What the server takes; the texts name it. */
const MAX_COMMENT = 2000;

/** @type {FormStrings} */
export const formStrings = {
  comment: "Comment, up to 2000 characters",
  send: "Send",
  cancel: "Cancel",
};

const CSS = `
form{grid-column:1/-1;box-sizing:border-box;width:28em;max-width:100%;
border-radius:var(--thumbseal-radius,8px);color:var(--thumbseal-foreground,inherit);
background:var(--thumbseal-background,none)}
fieldset{all:unset;display:flex;flex-wrap:wrap;gap:8px}
legend{padding:var(--pad) 0;font-weight:600}
label{display:flex;align-items:center;gap:var(--pad)}
[part=comment]{display:grid}
[part=comment],::slotted([slot=form]){flex:0 0 100%}
textarea,[part=reason],[part=send]{padding:var(--pad) calc(2*var(--pad));
border:1px solid var(--thumbseal-border,currentColor);
border-radius:var(--thumbseal-radius,8px)}
textarea{font:inherit;color:inherit;background:none;resize:vertical;min-width:0}
textarea:focus-visible{outline-offset:-1px}
input{margin:0;accent-color:var(--thumbseal-active,currentColor)}
[part=send]{font-weight:600}
form button:hover{background:none;text-decoration:underline}
@media(pointer:coarse){textarea{font-size:16px}}
`;
const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);

/** What people wrote in each element's forms, until they cancel it. */
const drafts = /** @type {WeakMap<Element, Record<string, HTMLFormElement>>} */ (new WeakMap());

/**
 * Opens the form of the vote of now, and moves there: only a press may lead here.
 * @param {HTMLElement} more the button that opens and closes it
 * @param {View} view
 * @returns {() => void} closes it; whoever was in it goes back to the thumb
 */
export function openForm(more, view) {
  const root = /** @type {ShadowRoot} */ (more.getRootNode());
  const kept = drafts.get(root.host) ?? {};
  drafts.set(root.host, kept);
  const key = `${view.feedback.thumb} ${root.host.getAttribute("message")}`;
  const form = (kept[key] ??= createForm(root.host, view));
  const close = () => {
    const inside = form.matches(":focus-within");
    form.remove();
    more.ariaExpanded = "false";
    if (inside) {
      const thumb = root.querySelector("[aria-pressed=true]") ?? more.previousElementSibling;
      /** @type {HTMLElement} */ (thumb).focus();
    }
  };
  listen(form, view.record, close, () => drafts.delete(root.host));
  if (!root.adoptedStyleSheets.includes(sheet)) {
    root.adoptedStyleSheets.push(sheet);
  }
  more.parentElement?.append(form);
  more.ariaExpanded = "true";
  /** @type {HTMLElement} */ (form.elements[1]).focus();
  return close;
}

/**
 * @param {Element} host
 * @param {View} view
 * @returns {string[]} reasons to choose from
 */
function reasonsFor(host, { options, feedback }) {
  const own = host.getAttribute("reasons") ?? options.reasons;
  const reasons = own?.split("|") ?? options.policy?.reasons ?? [];
  return feedback.thumb == "down" ? reasons : [];
}

/**
 * @param {Element} host
 * @param {View} view
 */
function createForm(host, view) {
  const { reasons, comment } = view.feedback;
  const texts = { ...formStrings, ...view.strings };
  const boxes = reasonsFor(host, view).map((value) => {
    const checked = reasons?.includes(value);
    const box = build("input", { type: "checkbox", name: "reason", value, checked });
    return build("label", { part: "reason" }, box, value);
  });
  const value = comment ?? "";
  const field = build("textarea", { name: "comment", part: "field", maxLength: MAX_COMMENT, value });
  return build(
    "form",
    { method: "dialog", part: "form" },
    build(
      "fieldset",
      {},
      build("legend", {}, texts.more),
      ...boxes,
      build("label", { part: "comment" }, texts.comment, field),
      build("slot", { name: "form" }),
      build("button", { part: "send" }, texts.send),
      build("button", { type: "reset", part: "cancel" }, texts.cancel),
    ),
  );
}

/**
 * @param {HTMLFormElement} form
 * @param {(feedback: Feedback) => void} record
 * @param {() => void} close
 * @param {() => void} forget
 */
function listen(form, record, close, forget) {
  form.onsubmit = () => {
    close();
    record(readForm(form));
  };
  form.onreset = () => {
    close();
    forget();
  };
  form.onkeydown = (event) => {
    // A page's shortcuts would take what is typed for their own: they see no text field here.
    event.stopPropagation();
    if (event.key == "Escape" && !event.isComposing) {
      event.preventDefault();
      close();
    }
  };
}

/**
 * @param {HTMLFormElement} form
 * @returns {Feedback}
 */
function readForm(form) {
  const data = new FormData(form);
  const reasons = /** @type {string[]} */ (data.getAll("reason"));
  const comment = `${data.get("comment")}`.trim();
  return { reasons: reasons[0] ? reasons : null, comment: comment || null };
}
