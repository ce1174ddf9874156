import { options } from "./session.js";

/**
 * The join puts the digest of their release in the place of `files`.
 * @param {string} name of a file of this release
 * @returns {Promise<any>} what it exports
 */
export function fetchFile(name) {
  return import(options.server + "/files/" + name);
}
