"""How the script comes into a page."""

from typing import Any

import pytest

from tests.engines.page import until
from tests.engines.stage import Stage, marked
from tests.engines.thumbs import THANKS, Thumbs
from tests.engines.traffic import EVENTS

COUNT = "document.querySelectorAll('thumb-seal').length"
ADD_SCRIPT = """new Promise((resolve, reject) => document.head.append(Object.assign(
  document.createElement("script"), {onload: () => resolve(), onerror: reject}, args[0])))"""


def served(stage: Stage, name: str) -> dict[str, str]:
    """Address and hash of a file that never changes, as the proxy tells them."""
    files: dict[str, dict[str, str]] = stage.proxy.http.get("/embed.json").json()["files"]
    return files[name]


def vote(stage: Stage, thumbs: Thumbs, answer: dict[str, str]) -> None:
    """A vote makes its whole way."""
    thumbs.up()
    thumbs.says(THANKS)
    assert stage.opinion(answer) == {"thumb": "up"}


def test_strict_policy_with_trusted_types(stage: Stage) -> None:
    """Under the strictest content security policy, with Trusted Types, the widget needs nothing
    but `script-src` and `connect-src` of the proxy, and violates nothing."""
    home, answer = stage.proxy.url, stage.answer()
    policy = (
        f"default-src 'none'; script-src {home}; connect-src {home}; "
        "require-trusted-types-for 'script'; trusted-types 'none'; report-uri /violations"
    )
    page = stage.open(marked(answer), Content_Security_Policy=policy)
    vote(stage, Thumbs(page), answer)
    # The page itself breaks the policy twice, so that silence before that means something.
    page.eval("document.body.setAttribute('style', 'color: red')")
    page.eval("(() => { try { document.body.innerHTML = '<b>'; } catch { return 1; } })()")

    def directives() -> list[str]:
        reports = [each for each in stage.host.violations if "favicon" not in each["blocked-uri"]]
        return sorted(each["effective-directive"] for each in reports)

    until(lambda: len(directives()) >= 2, "both violations are reported")
    assert directives() == ["require-trusted-types-for", "style-src-attr"]


def test_pinned_script_with_integrity(stage: Stage) -> None:
    """The script at its immutable address runs with the integrity hash that the proxy tells."""
    pinned, answer = served(stage, "widget.js"), stage.answer()
    script = (
        f'<script src="{pinned["url"]}" integrity="{pinned["integrity"]}" crossorigin '
        'data-site="support" defer></script>'
    )
    vote(stage, Thumbs(stage.open(marked(answer), script=script)), answer)


def test_module_does_nothing_by_itself(stage: Stage) -> None:
    """The module loads with its integrity hash, and starts nothing until the page says so."""
    pinned = served(stage, "widget.mjs")
    script = (
        f'<script type="module" src="{pinned["url"]}" integrity="{pinned["integrity"]}" '
        'crossorigin onload="document.title = this.src"></script>'
    )
    page = stage.open(marked(stage.answer()), script=script)
    page.wait("document.title === args[0]", pinned["url"])
    assert page.eval("[window.thumbseal === undefined, " + COUNT + "]") == [True, 0]


def test_module_started_by_the_page(stage: Stage) -> None:
    """A page can import the module and start a client and its elements itself."""
    pinned, answer = served(stage, "widget.mjs"), stage.answer()
    script = f"""<script type="module">
      import {{ define }} from "{pinned["url"]}";
      define()({{ site: "support", server: "{stage.proxy.url}" }}).attach();
    </script>"""
    vote(stage, Thumbs(stage.open(marked(answer), script=script)), answer)


def test_isolated_page(stage: Stage) -> None:
    """A page that isolates itself by COEP may load the script with the plain tag."""
    answer = stage.answer()
    page = stage.open(
        marked(answer),
        Cross_Origin_Embedder_Policy="require-corp",
        Cross_Origin_Opener_Policy="same-origin",
    )
    vote(stage, Thumbs(page), answer)


def test_script_is_served_as_nothing_but_script(stage: Stage) -> None:
    """The script comes with `nosniff` and a type that engines run under it."""
    answer = stage.answer()
    vote(stage, Thumbs(stage.open(marked(answer))), answer)
    headers = stage.proxy.http.get("/widget.js?site=support").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"].startswith("text/javascript")


def test_blocking_script_in_the_head(stage: Stage) -> None:
    """A script that runs before the page has a body finds the messages as they are parsed."""
    answer = stage.answer()
    vote(stage, Thumbs(stage.open(marked(answer), script=stage.tag(""))), answer)


def test_late_script(stage: Stage) -> None:
    """A script that a framework adds to a finished page starts as any other."""
    answer = stage.answer()
    page = stage.open(marked(answer), script="")
    page.eval(ADD_SCRIPT, {"src": f"{stage.proxy.url}/widget.js?site=support"})
    vote(stage, Thumbs(page), answer)


def test_script_run_as_a_module(stage: Stage) -> None:
    """A bundler's `type=module` takes `document.currentScript` away: the tag is found all the
    same."""
    answer = stage.answer()
    page = stage.open(marked(answer), script=stage.tag('type="module"'))
    vote(stage, Thumbs(page), answer)


def test_script_twice(stage: Stage) -> None:
    """The tag twice in a page gives one pair of thumbs and one delivery."""
    answer = stage.answer()
    page = stage.open(marked(answer), script=stage.tag() + stage.tag("async"))
    vote(stage, Thumbs(page), answer)
    assert page.eval(COUNT) == 1
    assert [len(each.event_ids) for each in stage.traffic.to(EVENTS)] == [1]


def test_script_again_after_destroy(stage: Stage) -> None:
    """A page that left by `destroy()` and comes back by another script tag has its thumbs again."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    Thumbs(page).shows(None)
    page.eval("thumbseal.destroy()")
    assert page.eval(COUNT) == 0
    page.eval(ADD_SCRIPT, {"src": f"{stage.proxy.url}/widget.js?site=support"})
    vote(stage, Thumbs(page), answer)


def test_calls_before_the_script(stage: Stage) -> None:
    """What a page asks for before the script is there is done in its order, then calls go
    straight through."""
    head = """<script>
      window.order = [];
      const call = (name) => (window.thumbseal ??= {q: []}).q.push(
        (client) => order.push(name, typeof client.openThread));
      call("first"); call("second");
      addEventListener("load", () => call("third"));
    </script>"""
    page = stage.open(script=head + stage.tag())
    expected = ["first", "function", "second", "function", "third", "function"]
    page.wait("'' + order === '' + args[0]", expected)


def test_a_failing_call_before_the_script_stops_no_other(stage: Stage) -> None:
    """A call that throws takes neither the calls after it nor the page along."""
    head = """<script>window.thumbseal = {q: [
      () => { throw new Error("the page's own"); },
      () => { document.title = "reached"; },
    ]};</script>"""
    page = stage.open(marked(stage.answer()), script=head + stage.tag())
    page.wait("document.title === 'reached'")
    Thumbs(page).shows(None)


@pytest.mark.parametrize(
    ("attributes", "found"), [('data-attach="off"', 0), ('data-attach=".chat"', 1)]
)
def test_where_thumbs_go_is_the_pages_choice(stage: Stage, attributes: str, found: int) -> None:
    """`data-attach` keeps the automatic thumbs to a part of the page, or away."""
    inside, outside = marked(stage.answer()), marked(stage.answer())
    page = stage.open(
        f'<div class="chat">{inside}</div>{outside}', script=stage.tag(f"defer {attributes}")
    )
    assert page.eval(COUNT) == found


def test_unknown_attributes_are_ignored(stage: Stage) -> None:
    """Attributes that frameworks add to the tag change nothing."""
    answer = stage.answer()
    script = stage.tag('defer data-nscript="afterInteractive" data-turbo-track="reload" data-q')
    vote(stage, Thumbs(stage.open(marked(answer), script=script)), answer)


def test_server_that_is_not_there(stage: Stage) -> None:
    """With `data-server` at a place where nothing answers, the page notices nothing."""
    answer = stage.answer()
    page = stage.open(marked(answer), script=stage.tag('defer data-server="http://127.0.0.1:9"'))
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says("Saved, will be sent later")
    thumbs.shows("up")
    assert not stage.traffic.to(EVENTS)


def test_requests_are_simple(stage: Stage) -> None:
    """No request carries a cookie, an authorization or a header that would ask for a preflight."""
    answer = stage.answer()
    page = stage.open(marked(answer), head="<script>document.cookie = 'secret=1'</script>")
    vote(stage, Thumbs(page), answer)
    page.eval("void (document.cookie = 'secret=; max-age=0')")
    seen = [each for each in stage.traffic.requests if each.method == "POST"]
    assert len(seen) >= 2

    def told(name: str) -> set[Any]:
        return {each.headers.get(name) for each in seen}

    assert told("cookie") | told("authorization") == {None}
    assert told("content-type") == {"text/plain;charset=UTF-8"}
    assert told("origin") == {stage.host.url}
    names = {name for each in seen for name in each.headers}
    assert not [name for name in names if name.startswith("x-")]
