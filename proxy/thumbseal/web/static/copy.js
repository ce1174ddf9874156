// Puts a Copy button beside each text that asks for one with `data-copy`.
'use strict';

for (const text of document.querySelectorAll('[data-copy]')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.setAttribute('aria-label', `Copy ${text.dataset.copy}`);
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text.textContent.trim());
      button.textContent = 'Copied';
    } catch {
      // No clipboard on plain-http pages: the text is selected instead, ready for Ctrl+C.
      getSelection().selectAllChildren(text);
      button.textContent = 'Selected';
    }
    setTimeout(() => (button.textContent = 'Copy'), 2000);
  });
  text.after(button);
}
