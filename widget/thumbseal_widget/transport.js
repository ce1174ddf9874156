/** @import { Answer } from "./types.js" */
import { attempt } from "./attempt.js";
import { options } from "./session.js";

const TIMEOUT_MS = 10_000;
const MAX_DELAY_MS = 300_000;
/** No server, and no clock that was set back, silences us for longer. */
export const MAX_PAUSE_MS = 3_600_000;

/**
 * Posts JSON as text/plain, so that no preflight is needed. The answer is always read: an unread
 * one keeps using up the browser's keepalive budget. Never rejects.
 * @param {object} data
 * @param {boolean} [keepalive] the page may be gone before the answer
 * @returns {Promise<Answer>}
 */
export async function post(data, keepalive) {
  try {
    /** @type {any} */
    const response = await fetch(options.server + "/v1/events", {
      method: "POST",
      // A text may have been cut inside a pair of surrogates.
      body: JSON.stringify(data, (_, value) => value?.toWellFormed?.() ?? value),
      credentials: "omit",
      keepalive,
      signal: keepalive ? null : AbortSignal.timeout(TIMEOUT_MS),
    });
    const { status, headers } = response;
    const text = await response.text();
    const body = attempt(() => JSON.parse(text)) ?? {};
    // The same request may succeed after these statuses.
    const isTransient = /408|425|429|5../.test(status);
    return {
      ...body,
      status,
      retry: isTransient || (body.error?.retry ?? (status < 300 && !body.results)),
      pause: Math.min(headers.get("retry-after") * 1000 || 0, MAX_PAUSE_MS),
    };
  } catch {
    return { status: 0, retry: true, pause: 0 };
  }
}

/**
 * Back-off with jitter, or what the server asked for and a little more.
 * @param {number} failures so far
 * @param {number} pause
 * @returns {number} milliseconds
 */
export function delay(failures, pause) {
  return pause + (0.5 + Math.random()) * Math.min(2 ** failures * 500, MAX_DELAY_MS);
}
