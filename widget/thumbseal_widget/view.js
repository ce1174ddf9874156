/** @import { Detail, EventName, Feedback, Strings, Thumb } from "./types.js" */
import { describe, template } from "./buttons.js";
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
  const group = /** @type {any} */ (template.cloneNode(true));
  const [up, down, live] = group.children;
  const say = createStatus(live);
  /** @type {Strings} */
  let strings = english;
  /** @type {Feedback} */
  let feedback = {};
  /** What a person who voted here was told; null if nobody waits to hear. @type {string | null} */
  let told = null;
  let token = "";
  /** What the token says: asked for once, because all elements hear of each event. */
  let id = "";
  /** Stops hearing; there while the element stands in the page. @type {(() => void) | undefined} */
  let leave;

  const thumb = () => feedback.thumb ?? null;
  const more = createMore(down, () => ({ host, options, strings, feedback, record }));

  const speak = () => describe(group, strings, thumb(), host.hasAttribute("disabled"));

  const show = (/** @type {Feedback | null | undefined} */ next) => {
    feedback = next ?? {};
    speak();
    more.show(speak);
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
      trackFeedback(token, patch);
    }
  };

  const hear = (/** @type {EventName} */ name, /** @type {Detail} */ detail) => {
    if (detail.message == id) {
      if (name == "change") {
        show(detail.feedback);
      } else if (told != null && detail.event?.type != "message") {
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
        composed: true,
        bubbles: true,
        cancelable: name == "change",
        detail: { message: id, token, ...more },
      }),
    );

  const load = async () => {
    const asked = (token = host.getAttribute("message") ?? "");
    id = messageId(token);
    strings = await stringsFor(host);
    speak();
    fetchForm();
    const found = await getFeedback(asked);
    if (asked == token) {
      show(found);
    }
  };

  root.adoptedStyleSheets = [sheet];
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
          show(null);
        }
        load();
      }
    },
  };
}
