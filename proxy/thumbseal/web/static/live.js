// Keeps a list current: fetches the page again and swaps what is inside <main> when it changed.
// Without this script the page reloads itself.
'use strict';

const PERIOD = 3000; // ms

async function update() {
  if (document.hidden || !document.getSelection().isCollapsed) return; // somebody is copying
  const response = await fetch(location.href, { cache: 'no-cache' });
  if (!response.ok) return;
  const next = new DOMParser().parseFromString(await response.text(), 'text/html');
  const [shown, fresh] = [document, next].map((each) => each.querySelector('main'));
  if (fresh && shown.innerHTML !== fresh.innerHTML) shown.replaceWith(document.adoptNode(fresh));
}

async function follow() {
  await update().catch((error) => console.warn('The list could not be brought up to date.', error));
  setTimeout(follow, PERIOD);
}

setTimeout(follow, PERIOD);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) update().catch(console.warn);
});
