/** @import { Found, MessageHandle, Talk, Thread, Tools, Turn } from "./types.js" */
import { stamp, threadOf, tokenOf } from "./ids.js";
import { BUSY, BUSY_ATTRIBUTES, MARK } from "./marks.js";

/** A text that has not changed for so long has come to its end. */
const SETTLED_MS = 1000;

/**
 * Records the messages that two selectors find in the page. A turn of the conversation knows each
 * version of its text by the message that it was recorded as. Turns stay in storage: a text is
 * known again by what it says and by what it follows, in whatever element it stands.
 * @param {Tools} tools
 * @param {string} selector of both
 * @returns what gives the message that comes next, for a request that goes out before it is there
 */
export function capture(tools, selector) {
  const [options, signal, , tracked, , guard, readRecord, writeRecord, openThread] = tools;
  /** Messages that were recorded before they had a token. @type {Map<string, MessageHandle>} */
  const unbound = new Map();
  const { user } = options;
  /** When an element changed last, and what it says since. @type {WeakMap<Element, any>} */
  const texts = new WeakMap();
  /** @type {WeakMap<Element, Turn>} */
  const turns = new WeakMap();
  /** @type {Talk} */
  let talk;
  /** @type {Thread} */
  let thread;
  /** The message that the page's request named before its text stood there. */
  let named = /** @type {MessageHandle | undefined} */ (undefined);
  let place = "";
  let timer = 0;

  const look = () => {
    timer ||= setTimeout(() => guard(scan), SETTLED_MS);
  };

  /** The token behind a reference, if there is one yet. @param {string} token */
  const resolve = (token) => {
    if (!threadOf(token)) {
      return token;
    }
    const message = unbound.get(token) ?? thread.message(token);
    if (!unbound.has(token)) {
      unbound.set(token, message);
      message.ready.then(look);
    }
    return message.token;
  };

  /** @param {Talk} [next] */
  const turnTo = (next) => {
    talk = next ?? { id: stamp().id, turns: [] };
    named = undefined;
    thread = openThread({ id: talk.id });
  };

  /** What the page records itself is captured no more, nor after a reload. @param {string} role */
  const isOwn = (role) => {
    if (tracked[role]) {
      writeRecord("own." + role, {});
    }
    return readRecord("own." + role);
  };

  /** The page's messages up to the first that is still being said. */
  const listSettled = () => {
    /** @type {Found[]} */
    const found = [];
    const elements = [...document.querySelectorAll(selector)];
    // All of them before the first that is not settled: a history settles at once.
    for (const element of elements.filter((each) => !texts.has(each))) {
      texts.set(element, { at: Date.now() });
    }
    for (const element of elements) {
      const said = texts.get(element);
      if (Date.now() - said.at < SETTLED_MS || element.closest(BUSY)) {
        look();
        break;
      }
      said.text ??= /** @type {HTMLElement} */ (element).innerText.trim();
      const role = /** @type {"user"} */ (user && element.matches(user) ? "user" : "assistant");
      if (said.text && !isOwn(role)) {
        found.push({ element, role, text: said.text, key: keyOf(role, said.text) });
      }
    }
    return found;
  };

  /**
   * The turns of the texts that are known. A page with none of them shows another conversation.
   * @param {Found[]} found
   */
  const recall = (found) => {
    const here = location.pathname + location.search;
    const isHere = found.some(({ element }) => turns.has(element));
    if (here != place) {
      const stored = readRecord("c." + here);
      place = here;
      if (stored || !isHere) {
        turnTo(stored);
      }
    }
    const known = match(talk.turns, found);
    if (isHere || !talk.turns[0] || known.some(Boolean)) {
      return known;
    }
    turnTo();
    return [];
  };

  /**
   * @param {Found} found
   * @param {Turn} turn
   * @param {string | undefined} prompt
   * @returns {string} its token or reference
   */
  const record = ({ element, role, text, key }, turn, prompt) => {
    const given = element.getAttribute(MARK);
    const versions = Object.values(turn);
    if (given && !versions.map(resolve).includes(given)) {
      turn[key] = given;
    }
    if (!turn[key]) {
      const fields = { role, content: text, replyTo: prompt, retryOf: versions.at(-1) };
      const message = named;
      named = undefined;
      turn[key] = tokenOf(thread.trackMessage({ ...fields, message }, true));
      writeRecord("c." + place, talk);
    }
    const token = resolve(turn[key]);
    if (role != "user" && token && token != given) {
      element.setAttribute(MARK, token);
    }
    return turn[key];
  };

  const scan = () => {
    timer = 0;
    const found = listSettled();
    const known = found[0] ? recall(found) : [];
    let position = 0;
    /** @type {string | undefined} */
    let prompt;
    found.forEach((each, index) => {
      const { element, role } = each;
      const after = talk.turns[position];
      const isReplaced = after && !known.includes(after) && Object.keys(after)[0][0] == role[0];
      const turn = known[index] ?? turns.get(element) ?? (isReplaced ? after : {});
      if (!talk.turns.includes(turn)) {
        talk.turns.splice(position, 0, turn);
      }
      position = talk.turns.indexOf(turn) + 1;
      turns.set(element, turn);
      const token = record(each, turn, prompt);
      prompt = role == "user" ? token : prompt;
    });
  };

  const observer = new MutationObserver((records) =>
    guard(() => {
      for (const { target } of records) {
        const element = target instanceof Element ? target : target.parentElement;
        const message = element?.closest(selector);
        if (message) {
          texts.set(message, { at: Date.now() });
        }
      }
      look();
    }),
  );
  observer.observe(document, {
    attributeFilter: BUSY_ATTRIBUTES,
    characterData: true,
    childList: true,
    subtree: true,
  });
  signal.addEventListener("abort", () => {
    observer.disconnect();
    clearTimeout(timer);
  });
  place = location.pathname + location.search;
  turnTo(readRecord("c." + place));
  look();
  return () => (named ??= thread.message());
}

/**
 * Finds each text among the turns, in their order.
 * @param {Turn[]} turns
 * @param {{key: string}[]} found
 */
function match(turns, found) {
  let from = 0;
  return found.map(({ key }) => {
    const index = turns.findIndex((turn, index) => index >= from && turn[key]);
    from = index < 0 ? from : index + 1;
    return turns[index];
  });
}

/**
 * What tells one text from another, without keeping it.
 * @param {string} role
 * @param {string} text
 */
function keyOf(role, text) {
  let hash = 0;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 2654435761);
    hash ^= hash >>> 13;
  }
  return role[0] + text.length + "." + (hash >>> 0);
}
