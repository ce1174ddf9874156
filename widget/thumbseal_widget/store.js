import { attempt } from "./attempt.js";
import { site } from "./session.js";

/** As long as a message token lives. */
const LIFETIME_MS = 90 * 864e5;

/** For records that localStorage denies or has no room for. @type {Record<string, string>} */
const memory = {};

/**
 * The name in storage of a record.
 * @param {string} key
 */
export function nameOf(key) {
  return `thumbseal:${site}:${key}`;
}

/** @param {string} key */
export function readRecord(key) {
  const name = nameOf(key);
  return attempt(() => JSON.parse(memory[name] ?? localStorage[name]));
}

/**
 * @param {string} key
 * @param {object} value
 * @param {boolean} [volatile] kept in memory only
 */
export function writeRecord(key, value, volatile) {
  const name = nameOf(key);
  memory[name] = JSON.stringify({ ...value, at: Date.now() });
  attempt(() => {
    if (!volatile) {
      localStorage[name] = memory[name];
      delete memory[name];
    }
  });
}

/** @param {string} key */
export function dropRecord(key) {
  const name = nameOf(key);
  delete memory[name];
  attempt(() => delete localStorage[name]);
}

/**
 * The keys that start with `kind`, sorted.
 * @param {string} kind
 */
export function listKeys(kind) {
  const stored = Object.keys(attempt(() => localStorage) ?? {});
  return [...stored, ...Object.keys(memory)]
    .filter((name) => name.startsWith(nameOf(kind)))
    .map((name) => name.slice(nameOf("").length))
    .sort();
}

/** Forgets what no token can speak for any more. */
export function dropOutdated() {
  for (const key of listKeys("")) {
    if (!(readRecord(key)?.at > Date.now() - LIFETIME_MS)) {
      dropRecord(key);
    }
  }
}
