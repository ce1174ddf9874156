// Applies the filter as soon as it changes: fetches the list and swaps it in. Without this script
// the form's own button does.
'use strict';

const PAUSE = 250; // ms after the last key

const form = /** @type {HTMLFormElement} */ (document.querySelector('.filters'));
let asked = 0;
/** @type {number | undefined} */
let timer;

/** @param {HTMLFormElement} of */
function addressOf(of) {
  const fields = [...new FormData(of)].filter(([, value]) => value && value !== 'newest');
  const query = new URLSearchParams(/** @type {[string, string][]} */ (fields)).toString();
  return location.pathname + (query && `?${query}`);
}

async function apply() {
  const mine = ++asked;
  const address = addressOf(form);
  const response = await fetch(address, { cache: 'no-store', redirect: 'manual' });
  if (mine !== asked) return; // something newer was asked for
  if (!response.ok) {
    location.assign(address); // the session has ended, or the page says what is wrong
    return;
  }
  const next = new DOMParser().parseFromString(await response.text(), 'text/html');
  const fresh = next.querySelector('#found');
  if (mine !== asked || !fresh) return;
  document.querySelector('#found')?.replaceWith(document.adoptNode(fresh));
  history.replaceState(null, '', address);
}

/** @param {number} pause */
function soon(pause) {
  clearTimeout(timer);
  timer = setTimeout(() => apply().catch(() => location.assign(addressOf(form))), pause);
}

form.addEventListener('input', () => soon(PAUSE));
form.addEventListener('submit', (event) => {
  event.preventDefault();
  soon(0);
});
