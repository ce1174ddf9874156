"""``python -m tests.bench.widget``: what the widget costs a page, measured in Chromium.

A measurement, not a test: 1,000 elements created and laid out (to be ≤ 100 ms), and 2,000 streamed
insertions watched by the thumbs and by capture (to be without a task over 50 ms).
"""

import logging
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import structlog
from playwright.sync_api import BrowserContext, sync_playwright

from tests.browser import chromium
from tests.browser.hosting import Site, hosted

ROUNDS: Final = 9
ELEMENTS: Final = 1_000
INSERTIONS: Final = 2_000

# Until the layout is there: reading a size asks for it.
_CREATE: Final = """([name, count]) => {
  const place = document.body.appendChild(document.createElement("div"));
  const start = performance.now();
  for (let index = 0; index < count; index++) {
    const answer = place.appendChild(document.createElement("p"));
    const thumbs = document.createElement(name);
    thumbs.setAttribute("message", "AAAA." + index);
    answer.append("An answer.", thumbs);
  }
  place.lastChild.getBoundingClientRect();
  const passed = performance.now() - start;
  place.remove();
  return passed;
}"""

# Four words a task, as a fast model streams; each is a mutation in a watched message.
_STREAM: Final = """async (count) => {
  const tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries()))
    .observe({type: "longtask"});
  const answer = document.body.appendChild(document.createElement("p"));
  answer.className = "bot";
  answer.setAttribute("aria-busy", "true");
  const start = performance.now();
  for (let index = 0; index < count; index++) {
    answer.appendChild(document.createElement("span")).textContent = "word ";
    if (index % 4 === 3) await new Promise((resolve) => setTimeout(resolve));
  }
  answer.removeAttribute("aria-busy");
  const passed = performance.now() - start;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  return [passed, tasks.map((task) => task.duration)];
}"""


def main() -> None:
    # The proxy runs in this process: a line for each request would stand between the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with (
        tempfile.TemporaryDirectory() as folder,
        hosted(Path(folder)) as site,
        sync_playwright() as playwright,
    ):
        executable = chromium.executable()
        browser = playwright.chromium.launch(executable_path=executable, args=list(chromium.FLAGS))
        bare, created = _created(site, browser.new_context())
        unwatched, watched = (_streamed(site, browser.new_context(), on) for on in (False, True))
        browser.close()
    for name, times in (("plain elements", bare), ("pairs of thumbs", created)):
        _say(
            f"{ELEMENTS:,} {name}: median {statistics.median(times):.0f} ms of {ROUNDS} rounds,"
            f" from {min(times):.0f} to {max(times):.0f} ms"
        )
    for name, (passed, tasks) in (("without", unwatched), ("with", watched)):
        _say(f"{INSERTIONS:,} insertions {name} the widget: {passed:.0f} ms, long tasks: {tasks}")


def _created(site: Site, context: BrowserContext) -> tuple[list[float], ...]:
    """The times of the floor, elements that nobody has defined, and of the widget's, in turn."""
    site.embed(attributes='data-persist="none"')
    page = site.open(context)
    page.wait_for_function("window.thumbseal")
    names = ("some-thing", "thumb-seal")
    times = [[page.evaluate(_CREATE, [name, ELEMENTS]) for name in names] for _ in range(ROUNDS)]
    return tuple(map(list, zip(*times, strict=True)))


def _streamed(site: Site, context: BrowserContext, on: bool) -> Any:
    site.embed(attributes='data-user=".user" data-assistant=".bot"')
    if not on:
        site.html = "<!doctype html><body>"
    page = site.open(context)
    if on:
        page.wait_for_function("window.thumbseal")
        page.wait_for_timeout(500)  # the file that watches comes after the script
    return page.evaluate(_STREAM, INSERTIONS)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
