/** @import { Feedback } from "./types.js" */

/**
 * Keys given replace, null removes, and a new thumb takes the old one's words with it.
 * @param {Feedback | null} current
 * @param {Feedback} patch
 * @returns {Feedback | null}
 */
export function merge(current, patch) {
  const turned = current?.thumb && patch.thumb !== undefined && patch.thumb != current.thumb;
  const merged = { ...current, ...(turned && { reasons: null, comment: null }), ...patch };
  const kept = Object.entries(merged).filter(([, value]) => value != null);
  return kept[0] ? Object.fromEntries(kept) : null;
}
