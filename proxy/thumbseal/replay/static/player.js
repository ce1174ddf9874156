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

const steps = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-at]'))]
  .map((element) => ({ element, at: Number(element.dataset.at) }))
  .sort((one, other) => one.at - other.at);
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
 * @param {boolean} [quiet] whether the address and the status stay as they are
 */
function show(index, quiet) {
  now = Math.max(0, Math.min(index, steps.length - 1));
  steps.forEach(({ element }, each) => (element.hidden = each > now));
  const { element, at } = steps[now];
  line.value = String(times[now]);
  const clock = new Date(at).toISOString().slice(11, 19);
  line.setAttribute('aria-valuetext', `step ${now + 1} of ${steps.length}, ${clock}`);
  if (quiet) return;
  status.textContent = `Step ${now + 1} of ${steps.length}, ${clock}`;
  history.replaceState(null, '', `#t=${at - steps[0].at}`);
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  element.scrollIntoView({ block: 'nearest', behavior: calm ? 'auto' : 'smooth' });
}

const playing = () => timer !== undefined;

function stop() {
  clearTimeout(timer);
  timer = undefined;
  play.textContent = 'Play';
}

function proceed() {
  if (now >= steps.length - 1) return stop();
  play.textContent = 'Pause';
  const wait = (times[now + 1] - times[now]) / Number(speed.value);
  timer = setTimeout(() => {
    show(now + 1);
    proceed();
  }, wait);
}

function toggle() {
  if (playing()) return stop();
  if (now >= steps.length - 1) show(0);
  proceed();
}

/** @param {number} index */
function go(index) {
  stop();
  show(index);
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
  show(stepOf(location.hash), true);
  play.addEventListener('click', toggle);
  within('[data-do=back]').addEventListener('click', () => go(now - 1));
  within('[data-do=step]').addEventListener('click', () => go(now + 1));
  line.addEventListener('input', () =>
    go(times.reduce((last, time, index) => (time <= Number(line.value) ? index : last), 0)),
  );
  speed.addEventListener('change', again);
  real.addEventListener('change', () => {
    lay();
    show(now, true);
    again();
  });
  document.addEventListener('keydown', (event) => {
    const target = /** @type {Element} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.closest('input, select, textarea, button, a, summary, [tabindex="0"]')) return;
    const act = KEYS[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
}
