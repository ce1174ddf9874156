import { attempt } from "./attempt.js";
import { allow, allowed, options, quiet } from "./session.js";

/** As long as a message token lives. */
const LIFETIME_MS = 90 * 864e5;

/** For records that storage denies or has no room for. @type {Record<string, string>} */
const memory = {};

/**
 * The name in storage of a record.
 * @param {string} key
 */
export function nameOf(key) {
  return `thumbseal:${options.site}:${key}`;
}

/** Throws or is undefined where nothing may be kept. @returns {Storage} */
function disk() {
  const persist = quiet || !allowed ? "none" : (options.persist ?? "local");
  return window[/** @type {"localStorage"} */ (persist + "Storage")];
}

/** @param {string} key */
export function readRecord(key) {
  const name = nameOf(key);
  return attempt(() => JSON.parse(memory[name] ?? disk()?.[name] ?? null));
}

/**
 * @param {string} key
 * @param {object} value
 * @param {boolean} [volatile] kept in memory only
 */
export function writeRecord(key, value, volatile) {
  const name = nameOf(key);
  memory[name] = JSON.stringify({ ...value, at: Date.now() });
  if (!volatile) {
    keep(name);
  }
}

/** @param {string} name */
function keep(name) {
  attempt(() => {
    disk()[name] = memory[name];
    delete memory[name];
  });
}

/** @param {string} key */
export function dropRecord(key) {
  const name = nameOf(key);
  delete memory[name];
  attempt(() => delete disk()[name]);
}

/**
 * The keys that start with `kind`, sorted.
 * @param {string} kind
 */
export function listKeys(kind) {
  return Object.keys({ ...attempt(disk), ...memory })
    .filter((name) => name.startsWith(nameOf(kind)))
    .map((name) => name.replace(nameOf(""), ""))
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

/**
 * Keeps what waited in memory for a consent, or forgets everything.
 * @param {boolean} given
 */
export function consent(given) {
  allow(true);
  if (given) {
    Object.keys(memory).forEach(keep);
  } else {
    listKeys("").forEach(dropRecord);
    allow(false);
  }
}
