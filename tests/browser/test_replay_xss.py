"""Hostile texts in every place that a replay page shows: they are read, and nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.replaying import enter
from tests.indexed import wait_for
from tests.inside import opened_by_backend, rows
from tests.proxy import Proxy, make_settings, running, said, voted
from tests.xss import ADDRESSES, ATTRIBUTES, CORPUS, MUTATING
from thumbseal.settings import Limits

OFF = Limits(**dict.fromkeys(Limits.__struct_fields__, "off"))
LISTED, PLAYED, SHOWN = 10, 44, 50  # texts of an overview, of a conversation, of a list
SHAPE = """() => {
  const shape = {};
  for (const node of document.querySelectorAll('*')) {
    const kind = [node.localName, ...[...node.attributes].map(({name}) => name).sort()].join(' ');
    shape[kind] = (shape[kind] ?? 0) + 1;
  }
  return shape;
}"""
HARMLESS = tuple(f"harmless text {number:03}" for number in range(len(CORPUS)))
Shape = dict[str, int]
T = TypeVar("T")


class Watched:
    """A page, and all that a script would have done."""

    def __init__(self, context: BrowserContext, own: str) -> None:
        self.page = context.new_page()
        self.own = own
        self.seen: list[str] = []
        self.page.expose_function("report", lambda text: self.seen.append(text))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation',"
            " (event) => report(`policy: ${event.violatedDirective} ${event.blockedURI}`));"
            "addEventListener('error', (event) => report(`error: ${event.message}`));"
        )
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self._note(request.url))

    def _dismiss(self, dialog: Any) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note(self, url: str) -> None:
        if not url.startswith(f"{self.own}/"):
            self.seen.append(f"request: {url}")

    def shape(self, path: str = "") -> Shape:
        """How many elements of each kind a page has."""
        self.page.goto(f"{self.own}/replay{path}")
        return self.shape_here()

    def shape_here(self) -> Shape:
        found: Shape = self.page.evaluate(SHAPE)
        return found


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[tuple[Proxy, Proxy]]:
    """Two proxies, one for hostile texts and one for as many harmless ones."""
    folders = [tmp_path / name for name in ("hostile", "harmless")]
    for folder in folders:
        folder.mkdir()
    one, other = (make_settings(folder, limits=OFF) for folder in folders)
    with running(one) as hostile, running(other) as harmless:
        yield hostile, harmless


def record_short(proxy: Proxy, texts: Sequence[str]) -> None:
    """A thread for each text, which is its user, its tag, its metadata, its question, its answer,
    the name of both, and in the opinion of it."""
    for number, text in enumerate(texts):
        user = text.encode()[:60].decode(errors="ignore")
        thread = opened_by_backend(proxy, user=user, want=2)
        asked, answered = thread["messages"]
        about = {"name": text[:128], "tags": [text[:64]], "metadata": {text[:99]: text}}
        opinion = {"thumb": "down", "reasons": [text[:64]], "comment": text, "correction": text}
        tags = [text[:64], f"group {number // LISTED}"]
        accept(
            proxy,
            thread,
            {"type": "thread", "tags": tags, "metadata": {text[:99]: text}},
            said(asked, "user", text, **about),
            said(answered, "assistant", text, **about),
            {"type": "custom", "name": text[:128], "metadata": {text[:99]: text}},
            voted(answered, **opinion),
        )


def record_long(proxy: Proxy, texts: Sequence[str]) -> Iterator[str]:
    """Threads in which many texts are said, called for and thought; the address of each."""
    for some in pieces(texts, PLAYED):
        thread = opened_by_backend(proxy)
        refs = [f"~{number:024}=said" for number in range(2 * len(some))]
        events: list[dict[str, Any]] = []
        for text, ref, answer in zip(some, refs[::2], refs[1::2], strict=True):
            function = {"name": text[:64], "arguments": text}
            calls = [{"id": text[:64], "type": "function", "function": function}]
            parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": text}]
            blank, other = {"token": ref}, {"token": answer}
            events.append(said(blank, "assistant", parts, name=text[:128], tool_calls=calls))
            events.append(said(other, "tool", text, tool_call_id=text[:64]))
            events.append(voted(blank, thumb="down", reasons=[text[:64]], comment=text))
            events.append(voted(blank, thumb="up", correction=text))
            events.append({"type": "custom", "name": text[:128], "metadata": {"x": text}})
        for each in pieces(events, 50):
            accept(proxy, thread, *each)
        yield f"/threads/support/{thread['thread']['id']}"


def newest(proxy: Proxy) -> str:
    """The place of the last event."""
    return str(rows(proxy, "SELECT max(seq) AS seq FROM events")[0]["seq"])


def pieces(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[at : at + size] for at in range(0, len(whole), size))


def accept(proxy: Proxy, thread: dict[str, Any], *events: dict[str, Any]) -> None:
    results = proxy.record(thread["thread"]["token"], *events)
    assert {each["status"] for each in results} == {"accepted"}, results


def visit(
    context: BrowserContext, proxy: Proxy, texts: Sequence[str], short: int
) -> tuple[dict[str, Shape], Watched]:
    """The shapes of all pages of a proxy that these texts were recorded at, by what they show; the
    first ``short`` of them in threads of their own."""
    watched, live = Watched(context, proxy.url), Watched(context, proxy.url)
    enter(live.page, proxy, "live")
    record_short(proxy, texts[:short])
    threads = list(record_long(proxy, texts))
    wait_for(proxy.settings.server.log_path, lambda: True)
    groups = short // LISTED
    shapes = {f"overview {n}": watched.shape(f"?tag=group+{n}") for n in range(groups + 1)}
    shapes |= {f"conversation {n}": watched.shape(path) for n, path in enumerate(threads)}
    shapes |= {"overview": watched.shape(), "live": watched.shape("/live")}
    shapes["list 0"] = watched.shape("/threads?role=user")
    for page in range(1, short // SHOWN + 1):
        watched.page.get_by_role("link", name="Further threads").click()
        watched.page.wait_for_url("**after=*")
        shapes[f"list {page}"] = watched.shape_here()
    expect(live.page.locator("#tail > li").first).to_have_attribute("data-seq", newest(proxy))
    shapes["followed"] = live.shape_here()
    live.page.close()
    watched.seen += live.seen
    return shapes, watched


def test_no_text_is_more_than_text(context: BrowserContext, proxies: tuple[Proxy, Proxy]) -> None:
    """No dialog, no word of the policy, no request elsewhere, no error, and as many elements with
    as many attributes as the same pages have for harmless texts."""
    assert len(CORPUS) >= 200
    assert len({text.encode()[:60] for text in CORPUS}) == len(CORPUS)
    hostile, harmless = proxies
    found, watched = visit(context, hostile, CORPUS, len(CORPUS))
    some, _ = visit(context, harmless, HARMLESS[: 3 * PLAYED], 2 * SHOWN + len(CORPUS) % SHOWN)
    for name, shape in found.items():
        kind, _, number = name.partition(" ")
        last = f"{kind} {sum(each.startswith(f'{kind} ') for each in found) - 1}"
        ends = [each for each in some if each.startswith(f"{kind} ")][-1:]
        same = ends[0] if number and name == last else f"{kind} 0" if number else name
        assert shape == some[same], name
    for path in filters((*ATTRIBUTES, *ADDRESSES, *MUTATING)):
        watched.shape(path)
    assert watched.seen == []


def filters(texts: Sequence[str]) -> Iterator[str]:
    """Filters of which each field is a text: a form holds it in an attribute, and no log has it."""
    for some in pieces(texts, 4):
        names = ("text", "reason", "tag", "user")
        yield "/threads?" + urlencode(dict(zip(names, some, strict=False)))
