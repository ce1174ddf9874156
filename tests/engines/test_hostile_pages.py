"""Pages that break what a script stands on: the widget works or keeps silent, and the page never
sees an error of ours."""

import pytest

from tests.engines.page import until
from tests.engines.stage import Stage, marked
from tests.engines.thumbs import SAVED, THANKS, Thumbs
from tests.engines.traffic import EVENTS


def vote(stage: Stage, script: str, body: str = "") -> None:
    """In a page that did this first, a vote makes its whole way and outlives a reload."""
    answer = stage.answer()
    page = stage.open(marked(answer) + body, script=f"<script>{script}</script>{stage.tag()}")
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    assert stage.opinion(answer) == {"thumb": "up"}


def test_object_prototype_with_more_in_it(stage: Stage) -> None:
    """Enumerable additions to built-in prototypes, as old libraries make them, change nothing."""
    vote(
        stage,
        """Object.prototype.extend = function () {}; Object.prototype.size = 7;
        Array.prototype.last = function () { return this[this.length - 1]; };
        String.prototype.trimAll = String.prototype.trim;""",
    )


@pytest.mark.parametrize(
    "pollution",
    [
        "toJSON = () => 'polluted'",
        "get = () => 'polluted'",
        "thread = 'polluted'",
        "token = 'polluted'",
        "feedback = {thumb: 'down'}",
        "retry = true",
        "signal = 'polluted'",
        "volatile = true",
    ],
    ids=lambda pollution: pollution.split()[0],
)
def test_polluted_object_prototype(stage: Stage, pollution: str) -> None:
    """Whatever hides in `Object.prototype`, the page sees no error of ours, and no vote is made up
    or turned around."""
    answer = stage.answer()
    use_by_script(stage, f"Object.prototype.{pollution};", answer)
    assert stage.opinion(answer) in (None, {"thumb": "up"})


def test_broken_json(stage: Stage) -> None:
    """A page whose `JSON` throws sees no error of ours."""
    breaking = "JSON.parse = JSON.stringify = () => { throw new Error('no JSON'); };"
    use_by_script(stage, breaking, stage.answer())


def test_json_replaced_later(stage: Stage) -> None:
    """A page that replaces `JSON` while the widget runs sees no error of ours."""
    replacing = """addEventListener("load", () => {
      window.JSON = {parse: () => null, stringify: () => undefined};
    });"""
    use_by_script(stage, replacing, stage.answer())


def use_by_script(stage: Stage, script: str, answer: dict[str, str]) -> None:
    """In a page that did this first, vote and record, all by the page's own script: a driver may
    stand on what is broken here."""
    using = """addEventListener("load", async () => {
      const thumbs = document.querySelector("thumb-seal")?.shadowRoot;
      thumbs?.querySelector('[aria-label="Good answer"]').click();
      window.thumbseal?.openThread({id: "c"}).trackMessage({role: "user", content: "Hi"});
      await window.thumbseal?.flush();
      navigator.sendBeacon("/told", "done");
    });"""
    head = f"<script>{script}</script><script>{using}</script>"
    stage.open(marked(answer), script=head + stage.tag())
    until(lambda: stage.host.told, "the page has come through")


def test_clobbered_names(stage: Stage) -> None:
    """Elements whose ids and names take those of globals, ours among them, are in nobody's way."""
    names = ("thumbseal", "settings", "q", "crypto", "client", "site", "server", "fetch")
    body = "".join(f'<form id="{name}"><input name="src"></form>' for name in names)
    vote(stage, "", body)


def test_clobbered_document(stage: Stage) -> None:
    """An image named `currentScript`, and a form full of names in the message, change nothing."""
    answer = stage.answer()
    form = '<form name="dataset"><input name="closest"><input name="append"></form>'
    body = '<img name="currentScript"><img name="hidden">' + marked(answer, form)
    page = stage.open(body)
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    assert stage.opinion(answer) == {"thumb": "up"}


@pytest.mark.parametrize("broken", ["() => { throw new Error('no fetch'); }", "undefined"])
def test_throwing_fetch(stage: Stage, broken: str) -> None:
    """Where `fetch` throws or is gone, a vote is kept and said to be kept; it goes out when `fetch`
    works again."""
    answer = stage.answer()
    head = f"<script>window.working = fetch; window.fetch = {broken};</script>"
    page = stage.open(marked(answer), script=head + stage.tag())
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(SAVED)
    thumbs.shows("up")
    page.eval("void (window.fetch = working, dispatchEvent(new Event('online')))")
    thumbs.says(THANKS)
    assert stage.opinion(answer) == {"thumb": "up"}


def test_forbidden_storage(stage: Stage) -> None:
    """Where storage is forbidden, votes and recording work as long as the page lives."""
    vote(
        stage,
        """for (const name of ["localStorage", "sessionStorage", "indexedDB"]) {
          Object.defineProperty(window, name, {
            get() { throw new DOMException("The operation is insecure.", "SecurityError"); },
          });
        }""",
    )


def test_full_storage(stage: Stage) -> None:
    """Where the page has filled its storage to the last byte, votes and recording still work."""
    vote(
        stage,
        """for (let size = 2 ** 21; size >= 1; size = Math.floor(size / 2)) {
          try {
            for (let n = 0; n < 99; n++) localStorage["fill" + size + "." + n] = "x".repeat(size);
          } catch { continue; }
        }""",
    )


def test_broken_records_in_storage(stage: Stage) -> None:
    """What others wrote under our names, of any shape, is ignored."""
    answer = stage.answer()
    head = """<script>
      const texts = ["{", "null", "7", '"x"', "[]", "{}", '{"event":1}', '{"event":{}}', ""];
      for (const kind of ["q", "v", "t", "from", "pause", ""]) {
        texts.forEach((text, n) => localStorage[`thumbseal:support:${kind}.${n}`] = text);
        texts.forEach((text) => localStorage[`thumbseal:support:${kind}`] = text);
      }
    </script>"""
    page = stage.open(marked(answer), script=head + stage.tag())
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    assert stage.opinion(answer) == {"thumb": "up"}


def test_plain_http(stage: Stage) -> None:
    """On plain http there is neither `crypto.randomUUID` nor `navigator.locks`: all the same."""
    vote(
        stage,
        """delete Crypto.prototype.randomUUID; delete Crypto.prototype.subtle;
        Object.defineProperty(Navigator.prototype, "locks", {value: undefined});""",
    )


def test_listener_that_throws(stage: Stage) -> None:
    """A page's listener that throws keeps neither the others nor the vote."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    page.eval(
        """["change", "sent"].forEach((name) => {
          thumbseal.on(name, () => { throw new Error("the page's own"); });
          thumbseal.on(name, () => (window.heard ??= []).push(name));
        })"""
    )
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    assert page.eval("heard") == ["change", "sent"]
    assert {error.split(": ")[-1] for error in stage.host.errors} == {"the page's own"}
    stage.host.errors.clear()


def test_junk_from_the_page(stage: Stage) -> None:
    """Whatever a page passes in, no call throws or rejects."""
    page = stage.open()
    page.eval(
        """Promise.all([undefined, null, 7, "", "junk", {}, [], () => {}].flatMap((junk) => [
          thumbseal.trackFeedback(junk, junk), thumbseal.getFeedback(junk), thumbseal.flush(),
          thumbseal.identify(junk, junk), thumbseal.openThread(junk).trackMessage(junk),
          thumbseal.openThread(junk).trackEvent(junk, junk), thumbseal.attach(junk),
          thumbseal.q.push(junk), thumbseal.openThread(junk).tag(junk),
        ].map((each) => each?.then && Promise.race([each, 0])))).then(() => 1)"""
    )
    page.eval("thumbseal.flush().then(() => 1)")


@pytest.mark.parametrize("reachable", [True, False])
def test_destroy_leaves_nothing(stage: Stage, reachable: bool) -> None:
    """After `destroy()` no listener, no timer, no observer and no frame of ours is left, also where
    a request was about to be made again."""
    head = """<script>
      const left = window.left = new Map();
      // WebKit's driver has a timer of its own in the page.
      const keep = (what, key) => what.includes("JavaScriptTimeout") || left.set(key, what);
      const wrap = (owner, name, make) => (owner[name] = make(owner[name]));
      wrap(EventTarget.prototype, "addEventListener", (add) => function (type, listener, options) {
        const target = this ?? window;
        if (target === window || target === document) {
          const key = [type, listener];
          keep("listener " + type, key);
          const drop = () => left.delete(key);
          if (options?.signal) add.call(options.signal, "abort", drop);
          if (options?.once) add.call(target, type, drop, {once: true});
          (target.ours ??= []).push(key);
        }
        return add.call(target, type, listener, options);
      });
      wrap(EventTarget.prototype, "removeEventListener", (remove) => function (type, listener, o) {
        const target = this ?? window;
        (target.ours ?? []).filter(([t, l]) => t === type && l === listener).forEach(
          (key) => left.delete(key));
        return remove.call(target, type, listener, o);
      });
      for (const [start, stop] of [["setTimeout", "clearTimeout"], ["setInterval", "clearInterval"],
          ["requestAnimationFrame", "cancelAnimationFrame"]]) {
        wrap(window, start, (set) => (call, ...rest) => {
          const id = set.call(window, (...args) => {
            if (start != "setInterval") left.delete(start + id);
            call(...args);
          }, ...rest);
          keep(`${start} ${rest[0]} ${call}`, start + id);
          return id;
        });
        wrap(window, stop, (clear) => (id) => (left.delete(start + id), clear.call(window, id)));
      }
      wrap(MutationObserver.prototype, "observe", (observe) => function (...args) {
        keep("observer", this);
        return observe.apply(this, args);
      });
      wrap(MutationObserver.prototype, "disconnect", (disconnect) => function () {
        left.delete(this);
        return disconnect.call(this);
      });
    </script>"""
    answer = stage.answer()
    page = stage.open(marked(answer), script=head + stage.tag())
    thumbs = Thumbs(page)
    thumbs.shows(None)
    assert page.eval("left.size") > 0
    say = "void thumbseal.openThread().trackMessage({role: 'user', content: 'Hi'})"
    if reachable:
        thumbs.up()
        thumbs.says(THANKS)
        page.eval(say)
        stage.traffic.wait(EVENTS, 2, 202)
    else:
        with stage.offline():
            thumbs.up()
            page.eval(say)
            thumbs.says(SAVED)
    page.eval("thumbseal.destroy()")
    assert page.eval("[...left.values()]") == []
    assert page.eval("[typeof thumbseal, document.querySelectorAll('thumb-seal').length]") == [
        "undefined",
        0,
    ]
