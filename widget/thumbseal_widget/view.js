/** @import { Detail, EventName, Feedback, Strings, Thumb } from "./types.js" */
import { build } from "./build.js";
import { getFeedback, trackFeedback } from "./client.js";
import { guard, subscribe } from "./emitter.js";
import { FILES } from "./files.js";
import { icon } from "./icons.js";
import { messageId } from "./ids.js";
import { options } from "./session.js";
import { english, stringsFor } from "./strings.js";
import { sheet } from "./style.js";

/** A screen reader notices a text only if its live region was there, and empty, before. */
const SAY_AFTER_MS = 50;
const SAY_FOR_MS = 5000;

/** Copied for each element, which is faster than to build it. @type {HTMLElement | undefined} */
let template;
/** @type {Promise<any> | undefined} */
let forming;

/**
 * What stands in an element's shadow.
 * @param {HTMLElement} host
 */
export function createView(host) {
  template ??= createTemplate();
  const root = host.attachShadow({ mode: "open" });
  const group = /** @type {HTMLElement} */ (template.cloneNode(true));
  const part = (/** @type {string} */ name) =>
    /** @type {HTMLButtonElement} */ (group.querySelector(`[part~=${name}]`));
  const up = part("up");
  const down = part("down");
  const status = part("status");
  /** Opens and closes the form; there once there is a vote to say more of. */
  let more = /** @type {HTMLButtonElement | undefined} */ (undefined);
  let close = () => {};
  /** @type {Strings} */
  let strings = english;
  /** @type {Feedback} */
  let feedback = {};
  /** What a person who voted here was told; null if nobody waits to hear. @type {string | null} */
  let told = null;
  /** @type {number | undefined} */
  let timer;
  /** Stops hearing; there while the element stands in the page. @type {(() => void) | undefined} */
  let leave;

  const token = () => host.getAttribute("message") ?? "";
  const thumb = () => feedback.thumb ?? null;

  /** Whether there is a form for the vote of now. */
  const asks = () => {
    const mode = host.getAttribute("comment") ?? options.comment ?? "down";
    return !!thumb() && [thumb(), "always"].includes(mode);
  };

  const speak = () => {
    const { lang, dir, group: ariaLabel } = strings;
    Object.assign(group, { lang, dir, ariaLabel });
    group.querySelectorAll("button").forEach((button) => {
      if (button.name) {
        button.ariaLabel = button.title = strings[/** @type {Thumb} */ (button.name)];
        button.ariaDisabled = `${host.hasAttribute("disabled")}`;
      }
    });
  };

  const show = (/** @type {Feedback | null | undefined} */ next) => {
    feedback = next ?? {};
    for (const button of [up, down]) {
      button.ariaPressed = `${button.name == thumb()}`;
    }
    if (asks() && !more) {
      more = createButton("more");
      more.onclick = () => (more?.ariaExpanded == "true" ? close() : open());
      down.after(more);
      speak();
    }
    if (more && (more.hidden = !asks())) {
      close();
    }
  };

  const open = () =>
    guard(async () => {
      const { openForm } = await fetchForm();
      if (more && asks()) {
        close();
        close = openForm(more, { options, strings, feedback, record });
      }
    });

  /** Pressing the pressed thumb takes the vote back. */
  const press = (/** @type {Thumb} */ name) => {
    record({ thumb: name == thumb() ? null : name });
    if (asks()) {
      open();
    }
  };

  const record = (/** @type {Feedback} */ patch) => {
    const previous = thumb();
    if (host.hasAttribute("disabled")) {
      say(strings.disabled);
      told = null;
    } else if (tell("change", { thumb: previous, ...patch, previous })) {
      told = "";
      trackFeedback(token(), patch);
    }
  };

  const hear = (/** @type {EventName} */ name, /** @type {Detail} */ detail) => {
    if (detail.message == messageId(token()) && (detail.event?.type ?? "feedback") == "feedback") {
      if (name == "change") {
        show(detail.feedback);
      } else if (told != null) {
        say(strings[name == "sent" && !thumb() ? "removed" : name]);
        if (name != "saved") {
          told = null;
          tell(name, { thumb: thumb(), code: detail.code });
        }
      }
    }
  };

  /** Whether no listener of the page cancelled it. */
  const tell = (/** @type {EventName} */ name, /** @type {object} */ more) =>
    host.dispatchEvent(
      new CustomEvent("thumbseal-" + name, {
        bubbles: true,
        composed: true,
        cancelable: name == "change",
        detail: { message: messageId(token()), token: token(), ...more },
      }),
    );

  /** Said once for each vote, then cleared. */
  const say = (/** @type {string} */ text) => {
    const write = (text = "") => {
      status.textContent = text;
    };
    if (told != text) {
      told = text;
      write();
      clearTimeout(timer);
      timer = setTimeout(() => {
        write(text);
        timer = setTimeout(write, SAY_FOR_MS);
      }, SAY_AFTER_MS);
    }
  };

  const load = async () => {
    const asked = token();
    strings = await stringsFor(host);
    speak();
    fetchForm();
    const found = await getFeedback(asked);
    if (asked == token()) {
      show(found);
    }
  };

  root.adoptedStyleSheets = [sheet()];
  root.append(group);
  up.onclick = () => press("up");
  down.onclick = () => press("down");

  return {
    connect() {
      leave = subscribe(hear);
      load();
    },
    disconnect() {
      clearTimeout(timer);
      leave?.();
      leave = undefined;
    },
    /** @param {string} attribute that the page changed */
    update(attribute) {
      if (attribute == "message") {
        show(null);
      }
      if (leave) {
        load();
      }
    },
  };
}

/** The form's file, ahead of need: a person may press the thumb offline. */
function fetchForm() {
  forming ??= import(options.server + FILES + "form.mjs");
  forming.catch(() => {
    forming = undefined;
  });
  return forming;
}

function createTemplate() {
  const status = build("span", { role: "status", part: "status" });
  const thumbs = [createButton("up"), createButton("down")];
  return build("div", { role: "group", part: "group" }, ...thumbs, status);
}

/** @param {Thumb | "more"} name */
function createButton(name) {
  return build(
    "button",
    { type: "button", name, part: "button " + name },
    build("slot", { name }, icon(name)),
  );
}
