/** What is published is what runs: tsc compares the two, nobody imports this. */

import type * as published from "./thumbseal_widget/thumbseal.js";
import { createClient } from "./thumbseal_widget/client.js";
import { define } from "./thumbseal_widget/define.js";
import { ThumbSeal } from "./thumbseal_widget/element.js";

type Published = typeof published;

// What starts the client is a static property, which the page's first script has set.
export const running: Published = { createClient, define: define as Published["define"], ThumbSeal };

/** What a page may write compiles: the element by its name, its events, JSX, and every call. */
export function write(thumbseal: published.PageClient): void {
  const thumbs: published.ThumbSeal = document.createElement("thumb-seal");
  thumbs.addEventListener("thumbseal-change", (event) => event.detail.thumb === "up");
  const attributes: JSX.IntrinsicElements["thumb-seal"] = { message: "TOKEN", "data-own": 1 };
  thumbs.setAttribute("message", attributes.message ?? "");

  const thread = thumbseal.openThread({ id: "chat", tags: ["beta"], metadata: { plan: "pro" } });
  const question = thread.trackMessage({ role: "user", content: "Q" });
  const answer = thread.trackMessage({ role: "assistant", content: "A", replyTo: question });
  thumbseal.trackFeedback(answer, { thumb: "down", reasons: ["Wrong"], score: null });
  thumbseal.beforeSend((event) => (event.type === "message" ? { ...event, name: "me" } : null));
  thumbseal.consent(true);
  thumbseal.on("error", ({ code }) => code?.length)();
  thumbseal.attach(document)();
  void thumbseal.ready.then((client) => client.getFeedback("TOKEN"));
  // @ts-expect-error a thumb points up or down
  thumbseal.trackFeedback(answer, { thumb: "sideways" });
  // @ts-expect-error a message has a role
  thread.trackMessage({ content: "Q" });
}
