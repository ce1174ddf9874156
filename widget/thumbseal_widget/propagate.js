/** @import { MessageHandle, Tools } from "./types.js" */
import { attempt } from "./attempt.js";

/**
 * Adds the prompt's headers to the page's own requests to the places that the page lists.
 * @param {Tools} tools
 * @param {() => MessageHandle | undefined} prompt whose exchange a request of now belongs to
 */
export function propagate([options, signal, , , isAllowed], prompt) {
  const resolve = (/** @type {string | URL} */ url) => new URL(url, document.baseURI);
  const places = (options.propagate ?? "").split(/[\s,]+/).filter(Boolean).map(resolve);
  /** @type {(url: any) => [string, string][]} */
  const headersFor = (url) => {
    const { origin, pathname } = resolve(url);
    const isListed = places.some(
      (place) =>
        place.origin == origin &&
        (pathname + "/").startsWith(place.pathname.replace(/\/?$/, "/")),
    );
    return Object.entries((isAllowed() && isListed && prompt()?.headers()) || {});
  };

  /**
   * Does something before a method of the page's runs, until the session ends.
   * @param {any} owner
   * @param {string} name
   * @param {(args: any[], self: any) => any} before may give other arguments
   */
  const wrap = (owner, name, before) => {
    const original = owner[name];
    /** @this {any} */
    const wrapped = function (/** @type {any[]} */ ...args) {
      return original.apply(this, attempt(() => !signal.aborted && before(args, this)) || args);
    };
    owner[name] = wrapped;
    signal.addEventListener("abort", () => {
      // Who wrapped it after us keeps what we gave.
      if (owner[name] == wrapped) {
        owner[name] = original;
      }
    });
  };

  wrap(window, "fetch", ([input, init]) => {
    const more = headersFor(input.url ?? input);
    const headers = new Headers(init?.headers ?? input.headers);
    more.forEach(([name, value]) => headers.has(name) || headers.set(name, value));
    return more[0] && [input, { __proto__: init, headers }];
  });

  /** Where a request goes, and the headers it has. @type {WeakMap<XMLHttpRequest, any>} */
  const requests = new WeakMap();
  const xhr = XMLHttpRequest.prototype;
  wrap(xhr, "open", ([, url], request) => {
    requests.set(request, { url });
  });
  wrap(xhr, "setRequestHeader", ([name], request) => {
    requests.get(request)[name.toLowerCase()] = true;
  });
  wrap(xhr, "send", (_, request) => {
    const { url, ...has } = requests.get(request);
    headersFor(url).forEach(([name, value]) => has[name] || request.setRequestHeader(name, value));
  });
}
