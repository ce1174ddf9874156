import { options } from "./session.js";

/** Where the server has the other files; the join puts the digest of their release in. */
const FILES = "/files/";

/**
 * @param {string} name of a file of this release
 * @returns {Promise<any>} what it exports
 */
export function fetchFile(name) {
  return import(options.server + FILES + name);
}
