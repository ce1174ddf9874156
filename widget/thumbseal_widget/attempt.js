/**
 * Undefined where the deed fails: for what a browser may deny, or what others wrote.
 * @template T
 * @param {() => T} deed
 * @returns {T | undefined}
 */
export function attempt(deed) {
  try {
    return deed();
  } catch {
    return undefined;
  }
}
