const CSS = `
:host{display:inline-flex;align-items:center;gap:8px}
:host(:not([message])){display:none}
div{display:flex;gap:4px}
button{all:unset;border-radius:8px;cursor:pointer;fill:none;opacity:.7}
button:hover,[aria-pressed=true]{background:color-mix(in srgb,currentColor 10%,#0000);opacity:1}
[aria-pressed=true]{color:var(--thumbseal-active,inherit);fill:currentColor}
:focus-visible{outline:2px solid}
svg{display:block;width:var(--thumbseal-size,20px);padding:6px;stroke:currentColor;
stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
[part~=down]{rotate:180deg}
span{font-size:.8em}
@media(pointer:coarse){svg{padding:12px}}
@media(prefers-reduced-motion:no-preference){button{transition:.15s}}
@media(forced-colors:active){button{border:1px solid;opacity:1}
[aria-pressed=true]{background:Highlight;color:HighlightText;forced-color-adjust:none}}
@media print{:host{display:none}}
`;

/** @type {CSSStyleSheet | undefined} */
let shared;

/** One sheet for all elements; a `style` element would need the page's CSP to allow it. */
export function sheet() {
  if (!shared) {
    shared = new CSSStyleSheet();
    shared.replaceSync(CSS);
  }
  return shared;
}
