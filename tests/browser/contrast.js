// What every text, icon, edge and focus ring in an element has as contrast, painted as a browser
// paints it: colours of any notation, each ancestor's background over the one behind it.
(element) => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (...colours) => {
    context.reset();
    for (const colour of colours) {
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [red, green, blue] = rgb
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const grounds = (node) => {
    const parent = node.assignedSlot ?? node.parentElement ?? node.getRootNode().host;
    return [...(parent ? grounds(parent) : []), getComputedStyle(node).backgroundColor];
  };
  const ratio = (behind, ...colours) => {
    const [dark, light] = [paint(...behind, ...colours), paint(...behind)]
      .map(luminance)
      .sort((one, other) => one - other);
    return (light + 0.05) / (dark + 0.05);
  };
  const found = [];
  for (const node of element.shadowRoot.querySelectorAll("*")) {
    const style = getComputedStyle(node);
    const note = (kind, behind, ...colours) =>
      found.push({ kind, node: `${node.localName} ${node.part}`, ratio: ratio(behind, ...colours) });
    if (node.getClientRects().length && style.visibility === "visible") {
      const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
      if (own || node.value) note("text", grounds(node), style.color);
      if (node.localName === "path") note("icon", grounds(node), style.stroke);
      if (style.borderTopStyle === "solid" && parseFloat(style.borderTopWidth)) {
        // A filled shape ends where its filling ends, whatever the line around it.
        const filled = ratio(grounds(node.parentElement), style.backgroundColor) >= 3;
        if (!filled) note("edge", grounds(node.parentElement), style.borderTopColor);
      }
      if (node.matches(":focus-visible")) {
        note("ring", grounds(node.parentElement), style.outlineColor);
      }
    }
  }
  return found;
}
