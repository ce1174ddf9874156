// A property that is not set inherits.
const CSS = `\
:host{display:inline-block;max-width:100%}\
:host(:not([message])),[hidden]{display:none!important}\
div{--pad:calc(6px*var(--thumbseal-density,1));\
font:var(--thumbseal-font);color:var(--thumbseal-color)}\
button{all:unset;display:inline-block;vertical-align:middle;padding:var(--pad);\
margin-inline-end:var(--thumbseal-gap,4px);border-radius:var(--thumbseal-radius,8px);\
cursor:pointer;fill:none}\
button:hover,[aria-expanded=true],[aria-pressed=true]{background:var(--thumbseal-hover,#8883)}\
[aria-pressed=true]{color:var(--thumbseal-active);fill:currentColor}\
[aria-disabled=true]{cursor:not-allowed}\
:focus-visible{outline:2px solid var(--thumbseal-focus,currentColor)}\
svg{display:block;width:var(--thumbseal-size,20px);stroke:currentColor;\
stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}\
[name=down] svg{rotate:180deg}\
span,form{font-size:.875em}\
@media(pointer:coarse){svg{margin:6px}}\
@media(forced-colors:active){button{border:1px solid}\
button[aria-pressed=true]{background:Highlight;color:HighlightText;forced-color-adjust:none}}\
@media print{:host{display:none}}`;

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
