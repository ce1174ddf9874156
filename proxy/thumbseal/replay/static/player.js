// Plays a conversation with its own pauses. Everything is in the page already: a step shows what
// happened then. Without this script all of it is simply there.
'use strict';

const LONGEST_PAUSE = 3000; // ms, unless the real pauses are asked for
const SPEEDS = [1, 2, 4, 8, 16, 32];

const player = /** @type {HTMLElement} */ (document.querySelector('.player'));
/** @template {Element} T @param {string} selector @returns {T} */
const within = (selector) => /** @type {T} */ (player.querySelector(selector));
/** @type {HTMLInputElement} */
const line = within('[type=range]');
/** @type {HTMLSelectElement} */
const speed = within('[name=speed]');
/** @type {HTMLInputElement} */
const real = within('[name=real]');
/** @type {HTMLButtonElement} */
const play = within('[data-do=play]');
/** @type {HTMLElement} */
const status = within('output');

// In the log's order: clocks of browsers and backends differ.
const steps = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-at]'))]
  .map((element) => ({
    element,
    at: Number(element.dataset.at),
    seq: Number(element.dataset.seq),
  }))
  .sort((one, other) => one.seq - other.seq);
steps.forEach((step, index) => (step.at = Math.max(step.at, index ? steps[index - 1].at : 0)));
/** When each step is shown, in ms of playing. @type {number[]} */
let times = [];
let now = steps.length - 1; // the last step that is shown
/** @type {number | undefined} */
let timer;

/** Works out the times, and where the marks stand on the line. */
function lay() {
  let time = 0;
  times = steps.map(({ at }, index) => {
    const pause = index ? at - steps[index - 1].at : 0;
    return (time += real.checked ? pause : Math.min(pause, LONGEST_PAUSE));
  });
  const whole = time || 1;
  line.max = String(whole);
  const marks = steps.flatMap(({ element }, index) => {
    if (!element.dataset.thumb) return [];
    const mark = document.createElement('i');
    mark.className = element.dataset.thumb;
    mark.style.insetInlineStart = `${(100 * times[index]) / whole}%`;
    return [mark];
  });
  within('.marks').replaceChildren(...marks);
}

/**
 * Shows all up to a step.
 * @param {number} index
 */
function show(index) {
  now = Math.max(0, Math.min(index, steps.length - 1));
  steps.forEach(({ element }, each) => (element.hidden = each > now));
  line.value = String(times[now]);
  line.setAttribute('aria-valuetext', place());
}

/** Where it is, in words. */
const place = () =>
  `Step ${now + 1} of ${steps.length}, ${new Date(steps[now].at).toISOString().slice(11, 19)}`;

/** Brings what was shown last into sight. */
function reveal() {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  steps[now].element.scrollIntoView({ block: 'nearest', behavior: calm ? 'auto' : 'smooth' });
}

/** Says where it is, also in the address. Not while it plays: browsers allow few of these. */
function settle() {
  status.textContent = place();
  history.replaceState(null, '', `#t=${steps[now].at - steps[0].at}`);
}

const playing = () => timer !== undefined;

function stop() {
  clearTimeout(timer);
  timer = undefined;
  play.textContent = 'Play';
}

function rest() {
  stop();
  settle();
}

function proceed() {
  if (now >= steps.length - 1) return rest();
  play.textContent = 'Pause';
  const wait = (times[now + 1] - times[now]) / Number(speed.value);
  timer = setTimeout(() => {
    show(now + 1);
    reveal();
    proceed();
  }, wait);
}

function toggle() {
  if (playing()) return rest();
  if (now >= steps.length - 1) show(0);
  proceed();
}

/** @param {number} index */
function go(index) {
  show(index);
  reveal();
  rest();
}

/** @param {number} by */
function change(by) {
  const place = SPEEDS.indexOf(Number(speed.value)) + by;
  speed.value = String(SPEEDS[Math.max(0, Math.min(place, SPEEDS.length - 1))]);
  again();
}

/** Goes on at once with what was changed. */
function again() {
  if (!playing()) return;
  stop();
  proceed();
}

/** The step of a moment in the address, `#t=` and ms since the first; the last one without. */
function stepOf(/** @type {string} */ hash) {
  const moment = /^#t=(\d+)$/.exec(hash);
  if (!moment) return steps.length - 1;
  const until = steps[0].at + Number(moment[1]);
  return steps.reduce((last, { at }, index) => (at <= until ? index : last), 0);
}

/** @type {Record<string, () => void>} */
const KEYS = {
  ' ': toggle,
  ArrowRight: () => go(now + 1),
  ArrowLeft: () => go(now - 1),
  Home: () => go(0),
  End: () => go(steps.length - 1),
  '+': () => change(1),
  '-': () => change(-1),
};

if (steps.length > 1) {
  player.hidden = false;
  lay();
  show(stepOf(location.hash));
  play.addEventListener('click', toggle);
  within('[data-do=back]').addEventListener('click', () => go(now - 1));
  within('[data-do=step]').addEventListener('click', () => go(now + 1));
  line.addEventListener('input', () => {
    stop();
    show(times.reduce((last, time, index) => (time <= Number(line.value) ? index : last), 0));
  });
  line.addEventListener('change', () => go(now));
  addEventListener('hashchange', () => {
    if (!location.hash.startsWith('#t=')) return;
    stop();
    show(stepOf(location.hash));
  });
  speed.addEventListener('change', again);
  real.addEventListener('change', () => {
    lay();
    show(now);
    again();
  });
  document.addEventListener('keydown', (event) => {
    const target = /** @type {Element} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const busy = event.key === ' ' ? 'button, a, summary, ' : '';
    if (target.closest(`${busy}input, select, textarea, [tabindex="0"]`)) return;
    const act = KEYS[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
}
