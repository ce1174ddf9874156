/** @import { Feedback, FormStrings, View } from "./types.js" */
import { build } from "./build.js";

// A file of its own, fetched once there are thumbs: pages without any never need it.

/** What the server takes; the text names it. */
const MAX_COMMENT = 2000;
/** Fewer than the server's 32 KiB in any script. */
const MAX_CORRECTION = 8000;

/** @type {FormStrings} */
export const formStrings = {
  comment: "Comment, up to 2000 characters",
  score: "Score, 1 to 5",
  correction: "A better answer",
  send: "Send",
  cancel: "Cancel",
};

const CSS = `\
:host{max-width:100%}\
[aria-expanded=true]{background:var(--thumbseal-hover,#8883)}\
form{box-sizing:border-box;width:28em;max-width:100%;font-size:.875em;\
border-radius:var(--thumbseal-radius,8px);color:var(--thumbseal-foreground);\
background:var(--thumbseal-background)}\
fieldset{all:unset;display:flex;flex-wrap:wrap;gap:8px}\
legend{padding:var(--pad) 0;font-weight:600}\
label{display:grid;flex:0 0 100%}\
[part=reason]{display:flex;flex:none;align-items:center;gap:var(--pad)}\
::slotted([slot=form]){flex:0 0 100%}\
[part=field],[part=reason],[part=send]{padding:var(--pad) calc(2*var(--pad));\
border:1px solid var(--thumbseal-border,currentColor);\
border-radius:var(--thumbseal-radius,8px)}\
[part=field]{font:inherit;color:inherit;background:none;resize:vertical;min-width:0}\
[part=field]:focus-visible{outline-offset:-1px}\
[type=checkbox]{margin:0;accent-color:var(--thumbseal-active,currentColor)}\
[part=send]{font-weight:600}\
form button{margin:0}\
form button:hover{background:none;text-decoration:underline}\
@media(pointer:coarse){[part=field]{font-size:16px}}`;
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
  const { host } = view;
  const kept = drafts.get(host) ?? {};
  drafts.set(host, kept);
  const key = `${view.feedback.thumb} ${host.getAttribute("message")}`;
  const fields = (host.getAttribute("fields") ?? view.options.fields ?? "comment").split(" ");
  const form = (kept[key] ??= createForm(view, fields));
  const close = () => {
    const inside = form.matches(":focus-within");
    form.remove();
    more.ariaExpanded = "false";
    if (inside) {
      const thumb = root.querySelector("[aria-pressed=true]") ?? root.querySelector("button");
      /** @type {HTMLElement} */ (thumb).focus();
    }
  };
  form.onsubmit = () => {
    close();
    view.record(readForm(form, fields));
  };
  form.onreset = () => {
    close();
    delete kept[key];
  };
  form.onkeydown = (event) => {
    // A page's shortcuts would take what is typed for their own: they see no text field here.
    event.stopPropagation();
    if (event.key == "Escape" && !event.isComposing) {
      event.preventDefault();
      close();
    }
  };
  if (!root.adoptedStyleSheets.includes(sheet)) {
    root.adoptedStyleSheets.push(sheet);
  }
  more.parentElement?.append(form);
  more.ariaExpanded = "true";
  /** @type {HTMLElement} */ (form.elements[1]).focus();
  return close;
}

/**
 * What a person may add to a vote. The texts beside the fields are their names.
 * @param {View} view
 * @param {string[]} fields of `comment`, `score` and `correction`
 */
function createForm(view, fields) {
  const { feedback } = view;
  const texts = { ...formStrings, ...view.strings };
  const boxes = reasonsFor(view).map((value) => {
    const checked = !!feedback.reasons?.includes(value);
    const box = build("input", { type: "checkbox", name: "reason", value, checked });
    return build("label", { part: "reason" }, box, value);
  });
  const labels = fields.map((field) => {
    const name = /** @type {"comment" | "score" | "correction"} */ (field);
    const input =
      name == "score"
        ? build("input", { type: "number", min: "1", max: "5" })
        : build("textarea", { maxLength: name == "comment" ? MAX_COMMENT : MAX_CORRECTION });
    Object.assign(input, { name, part: "field", value: feedback[name] ?? "" });
    return build("label", { part: name }, texts[name], input);
  });
  return build(
    "form",
    { method: "dialog", part: "form" },
    build(
      "fieldset",
      {},
      build("legend", {}, texts.more),
      ...boxes,
      ...labels,
      build("slot", { name: "form" }),
      build("button", { part: "send" }, texts.send),
      build("button", { type: "reset", part: "cancel" }, texts.cancel),
    ),
  );
}

/**
 * @param {View} view
 * @returns {string[]} reasons to choose from
 */
function reasonsFor({ host, options, feedback }) {
  const own = host.getAttribute("reasons") ?? options.reasons;
  const reasons = own?.split("|") ?? options.policy?.reasons ?? [];
  return feedback.thumb == "down" ? reasons : [];
}

/**
 * What is empty is removed.
 * @param {HTMLFormElement} form
 * @param {string[]} fields
 * @returns {Feedback}
 */
function readForm(form, fields) {
  const data = new FormData(form);
  const reasons = data.getAll("reason");
  const said = fields.map((name) => {
    const text = `${data.get(name)}`.trim();
    return [name, text && name == "score" ? Number(text) : text || null];
  });
  return { reasons: reasons[0] ? reasons : null, ...Object.fromEntries(said) };
}
