/** @import { PageClient, Settings, Stub } from "./types.js" */
import { define } from "./define.js";
import { guard } from "./emitter.js";

/**
 * The script's own tag. Frameworks insert it late and modules have no `currentScript`.
 * @returns {HTMLScriptElement | null}
 */
function findTag() {
  // A page's <img name=currentScript> stands in the script's place.
  const { currentScript } = document;
  return currentScript instanceof HTMLScriptElement
    ? currentScript
    : document.querySelector('script[data-thumbseal],script[src*="/widget."]');
}

/** @param {Settings} rendered by the server; what the tag says stands above it */
function boot(rendered) {
  const stub = /** @type {Stub | undefined} */ (window.thumbseal);
  if (typeof stub?.destroy != "function") {
    const tag = findTag();
    const home = tag?.src.replace(/\/(w\/[^/]+\/)?[^/]*$/, "");
    const chosen = { ...rendered, server: rendered.server ?? home, ...tag?.dataset };
    const client = /** @type {PageClient} */ (define()(chosen));
    window.thumbseal = client;
    if (chosen.attach != "off") {
      client.attach(chosen.attach);
    }
    stub?.q?.forEach?.(client.q.push);
    dispatchEvent(new CustomEvent("thumbseal:ready", { detail: client }));
  }
}

guard(() => boot(settings));
