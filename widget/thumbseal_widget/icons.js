/**
 * On a 24 px grid: a speech bubble, or a hand with its thumb up and the edge of its sleeve.
 * @param {string} name of a button; the style sheet turns the thumb around for `down`
 */
export function icon(name) {
  const [svg, path] = ["svg", "path"].map((tag) =>
    document.createElementNS("http://www.w3.org/2000/svg", tag),
  );
  svg.setAttribute("viewBox", "0 0 24 24");
  path.setAttribute(
    "d",
    name == "more"
      ? "M4 6h16v11h-8l-4 3v-3H4z"
      : "M8 11l3-7c1-.5 3 .5 3 2.5l-.5 3h5c1.5 0 2.5 1 2 2.5l-1.5 6c-.3 1.2-1 2-2.5 2H8zM4 11v9",
  );
  svg.append(path);
  return svg;
}
