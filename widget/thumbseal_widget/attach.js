import { guard } from "./emitter.js";
import { BUSY, BUSY_ATTRIBUTES, MARK } from "./marks.js";
import { signal } from "./session.js";

const MARKED = `[${MARK}]`;

/**
 * Keeps thumbs in every marked message of a place, once its text is there. Inside the message: a
 * framework that removes its own node takes ours along.
 * @param {string | Document | ShadowRoot | Element} [target] a root, or what in the page to keep to
 * @returns {() => void} takes the thumbs away
 */
export function attach(target) {
  const root = target instanceof Node ? target : document;
  const scope = typeof target == "string" ? target : "*";
  /** @type {WeakSet<Element>} */
  const made = new WeakSet();
  let frame = 0;
  const remove = (/** @type {(thumbs: Element) => boolean} */ isOver) => {
    root.querySelectorAll("thumb-seal").forEach((thumbs) => {
      if (made.has(thumbs) && isOver(thumbs)) {
        thumbs.remove();
      }
    });
  };
  const scan = () => {
    frame = 0;
    remove((thumbs) => !thumbs.closest(MARKED));
    root.querySelectorAll(MARKED).forEach((message) => {
      if (message.closest(scope) && !message.closest(BUSY)) {
        place(message, made);
      }
    });
  };
  const observer = new MutationObserver(() => {
    frame ||= requestAnimationFrame(() => guard(scan));
  });
  const stop = () => {
    observer.disconnect();
    cancelAnimationFrame(frame);
    remove(() => true);
  };
  guard(() => {
    scan();
    signal.addEventListener("abort", stop);
    observer.observe(root, {
      attributeFilter: [MARK, ...BUSY_ATTRIBUTES],
      childList: true,
      subtree: true,
    });
  });
  return stop;
}

/**
 * @param {Element} message
 * @param {WeakSet<Element>} made
 */
function place(message, made) {
  const token = message.getAttribute(MARK) ?? "";
  const found = message.querySelector("thumb-seal");
  const thumbs = found ?? document.createElement("thumb-seal");
  if (thumbs.getAttribute("message") != token) {
    thumbs.setAttribute("message", token);
  }
  if (!found) {
    made.add(thumbs);
    (message.querySelector("[data-thumbseal-slot]") ?? message).append(thumbs);
  }
}
