/** @import { Feedback } from "./types.js" */

/**
 * Keys given replace, null removes, and a new thumb takes the old one's words with it.
 * @param {Feedback | null} current
 * @param {Feedback} patch
 * @returns {Feedback | null}
 */
export function merge(current, patch) {
  const turned = current?.thumb && patch.thumb !== undefined && patch.thumb != current.thumb;
  /** @type {any} */
  const merged = { ...current, ...(turned && { reasons: null, comment: null }), ...patch };
  for (const key in merged) {
    if (merged[key] == null) {
      delete merged[key];
    }
  }
  return Object.keys(merged)[0] ? merged : null;
}
