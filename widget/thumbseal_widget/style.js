// A property that is not set inherits. What is out of sight is not laid out: until it has been seen
// it takes the size of two thumbs, as they are by default. An outline outside would be clipped. Only
// where a page that grows does not jump; WebKit (2.50) is not such, and leaves out what is in sight.
const CSS = `\
:host{display:inline-block;vertical-align:middle}\
@supports(overflow-anchor:auto){:host{contain-intrinsic-size:auto 72px auto 32px;\
content-visibility:auto}}\
:host(:not([message])),[hidden]{display:none!important}\
div{--pad:calc(6px*var(--thumbseal-density,1));\
font:var(--thumbseal-font);color:var(--thumbseal-color)}\
button{all:unset;display:inline-block;vertical-align:middle;\
border-radius:var(--thumbseal-radius,8px);margin-inline-end:var(--thumbseal-gap,4px);\
cursor:pointer;fill:none;padding:var(--pad)}\
button:hover,[aria-pressed=true]{background:var(--thumbseal-hover,#8883)}\
[aria-pressed=true]{color:var(--thumbseal-active);fill:currentColor}\
[aria-disabled=true]{cursor:not-allowed}\
:focus-visible{outline:2px solid var(--thumbseal-focus,currentColor);outline-offset:-2px}\
svg{display:block;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round;\
stroke:currentColor;width:var(--thumbseal-size,20px)}\
[name=down] svg{rotate:180deg}\
span{font-size:.875em}\
@media(pointer:coarse){:host{contain-intrinsic-size:auto 96px auto 44px}svg{margin:6px}}\
@media(forced-colors:active){button{border:1px solid}\
button[aria-pressed=true]{background:Highlight;color:HighlightText}}\
@media print{:host{display:none}}`;

/** One sheet for all elements; a `style` element would need the page's CSP to allow it. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);
