// The live tail: asks for what came after the last event shown, again and again. Each answer names
// the place in the log to ask from next, so a lost connection or a new server loses and repeats
// nothing.
'use strict';

/**
 * @typedef {{
 *   seq: number, at: number, site: string, source: string, href: string, label: string,
 *   text: string, thumb: 'up' | 'down' | null, notes: string[]
 * }} Row
 * @typedef {{ rows: Row[], cursor: number, skipped: boolean }} Tail
 */

const KEPT = 500; // rows
const PATIENCE = 20_000; // ms: the server answers within five seconds, news or not
const FIRST_PAUSE = 200; // ms after a failure, twice as long after each further one
const LONGEST_PAUSE = 4_000;
const ENDED = 'You are logged out. Log in again to go on.';
const SAID = /** @type {Record<number, string>} */ ({
  401: ENDED,
  403: ENDED,
  429: 'The live tail is open in too many windows. Close one, and reload this page.',
});

class Ended extends Error {}

const list = /** @type {HTMLElement} */ (document.getElementById('tail'));
const blank = /** @type {HTMLTemplateElement} */ (document.getElementById('row'));
const state = /** @type {HTMLElement} */ (document.getElementById('state'));
const pause = /** @type {HTMLButtonElement} */ (document.getElementById('pause'));
let cursor = Number(list.dataset.cursor);
let paused = false;
let stop = new AbortController();
let wake = () => {};

/** @param {string} text @param {string} kind */
function say(text, kind) {
  if (state.textContent !== text) state.textContent = text;
  state.dataset.state = kind;
}

/** @returns {Promise<Tail>} */
async function ask() {
  const url = new URL(/** @type {string} */ (list.dataset.changes), location.href);
  url.searchParams.set('after', String(cursor));
  const response = await fetch(url, {
    redirect: 'manual', // an ended session leads to the log-in
    headers: { Accept: 'application/json' },
    signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), stop.signal]),
  });
  const ended = response.type === 'opaqueredirect' ? ENDED : SAID[response.status];
  if (ended) throw new Ended(ended);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.json();
}

/** @param {Row} row */
function draw(row) {
  const item = /** @type {HTMLElement} */ (document.importNode(blank.content, true).firstElementChild);
  /** @param {string} name */
  const part = (name) => /** @type {HTMLElement} */ (item.querySelector(`.${name}`));
  const iso = new Date(row.at).toISOString();
  item.dataset.seq = String(row.seq);
  part('when').textContent = iso.slice(11, 19);
  part('when').setAttribute('datetime', iso);
  part('what').textContent = row.label;
  part('by').textContent = row.source;
  const site = item.querySelector('.site'); // there is one where there are several sites
  if (site) site.textContent = row.site;
  part('words').textContent = row.text;
  part('words').setAttribute('href', row.href);
  item.classList.toggle('down', row.thumb === 'down');
  const notes = part('notes');
  for (const text of row.notes) {
    const note = document.createElement('span');
    note.className = 'label';
    note.dir = 'auto';
    note.textContent = text;
    notes.append(note);
  }
  return item;
}

/** @param {Tail} tail */
function show(tail) {
  cursor = tail.cursor;
  list.dataset.cursor = String(cursor);
  if (tail.skipped) list.prepend(gap());
  if (tail.rows.length) document.getElementById('none')?.remove();
  for (const row of tail.rows) list.prepend(draw(row));
  while (list.childElementCount > KEPT) list.lastElementChild?.remove();
}

function gap() {
  const item = document.createElement('li');
  item.className = 'gap';
  item.textContent = 'This page was away for long: some events are left out here.';
  return item;
}

/** @param {number} ms */
function rest(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => (clearTimeout(timer), resolve(undefined));
  });
}

function seen() {
  return new Promise((resolve) => {
    document.addEventListener('visibilitychange', resolve, { once: true });
  });
}

async function follow() {
  for (let delay = FIRST_PAUSE; !paused; ) {
    if (document.hidden) await seen(); // a browser has few connections, and nobody looks
    try {
      const tail = await ask();
      delay = FIRST_PAUSE;
      say('Live', 'live');
      show(tail);
    } catch (error) {
      if (paused) return;
      if (error instanceof Ended) return end(error.message);
      say('No connection. Trying again …', 'lost');
      await rest(delay);
      delay = Math.min(delay * 2, LONGEST_PAUSE);
    }
  }
}

/** @param {string} text */
function end(text) {
  say(text, 'ended');
  pause.hidden = true;
  /** @type {HTMLElement} */ (document.getElementById('again')).hidden = false;
}

pause.addEventListener('click', () => {
  paused = !paused;
  pause.setAttribute('aria-pressed', String(paused));
  say(paused ? 'Paused' : 'Live', paused ? 'paused' : 'live');
  if (paused) {
    stop.abort();
    wake();
  } else {
    stop = new AbortController();
    following = following.then(follow);
  }
});
addEventListener('online', () => wake());
pause.hidden = false;
/** @type {HTMLElement} */ (document.getElementById('again')).hidden = true;
say('Live', 'live');
let following = follow();
