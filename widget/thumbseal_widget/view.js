/** @import { Detail, EventName, Feedback, Strings, Thumb } from "./types.js" */
import { createGroup } from "./buttons.js";
import { getFeedback, trackFeedback } from "./client.js";
import { subscribe } from "./emitter.js";
import { messageId } from "./ids.js";
import { createMore, fetchForm } from "./more.js";
import { options } from "./session.js";
import { createStatus } from "./status.js";
import { english, stringsFor } from "./strings.js";
import { sheet } from "./style.js";

/**
 * What stands in an element's shadow.
 * @param {HTMLElement} host
 */
export function createView(host) {
  const root = host.attachShadow({ mode: "open" });
  const group = createGroup();
  /** @type {any} */
  const parts = group.children;
  const { up, down } = parts;
  const say = createStatus(/** @type {Element} */ (group.lastChild));
  /** @type {Strings} */
  let strings = english;
  /** @type {Feedback} */
  let feedback = {};
  /** What a person who voted here was told; null if nobody waits to hear. @type {string | null} */
  let told = null;
  /** Stops hearing; there while the element stands in the page. @type {(() => void) | undefined} */
  let leave;

  const token = () => host.getAttribute("message") ?? "";
  const thumb = () => feedback.thumb ?? null;
  const more = createMore(down, () => ({ host, options, strings, feedback, record }));

  const speak = () => {
    const { lang, dir, group: ariaLabel } = strings;
    Object.assign(group, { lang, dir, ariaLabel });
    group.querySelectorAll("button[name]").forEach((/** @type {any} */ button) => {
      button.ariaLabel = button.title = strings[/** @type {Thumb} */ (button.name)];
      button.ariaDisabled = `${host.hasAttribute("disabled")}`;
    });
  };

  const show = (/** @type {Feedback | null} */ next = null) => {
    feedback = next ?? {};
    for (const button of [up, down]) {
      button.ariaPressed = `${button.name == thumb()}`;
    }
    more.show();
    speak();
  };

  /** Pressing the pressed thumb takes the vote back. */
  const press = (/** @type {Thumb} */ name) => {
    record({ thumb: name == thumb() ? null : name });
    more.open();
  };

  const record = (/** @type {Feedback} */ patch) => {
    const previous = thumb();
    if (host.hasAttribute("disabled")) {
      say(strings.disabled);
    } else if (tell("change", { thumb: previous, ...patch, previous })) {
      told = "";
      trackFeedback(token(), patch);
    }
  };

  const hear = (/** @type {EventName} */ name, /** @type {Detail} */ detail) => {
    if (detail.message == messageId(token())) {
      if (name == "change") {
        show(detail.feedback);
      } else if (told != null && (detail.event?.type ?? "feedback") == "feedback") {
        settle(name, detail.code);
      }
    }
  };

  /** Each text is said once for a vote. */
  const settle = (/** @type {Exclude<EventName, "change">} */ name, /** @type {string | undefined} */ code) => {
    const text = strings[name == "sent" && !thumb() ? "removed" : name];
    if (told != text) {
      say(text);
    }
    told = text;
    if (name != "saved") {
      told = null;
      tell(name, { thumb: thumb(), code });
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
      say();
      leave?.();
      leave = undefined;
    },
    /** @param {string} attribute that the page changed */
    update(attribute) {
      if (leave) {
        if (attribute == "message") {
          show();
        }
        load();
      }
    },
  };
}
