"""The seed: one small talk by each of Lunary's SDKs, and what Lunary shows of it.

The same scripts talk to a Lunary double directly and through a proxy; URL, key and thread id are
all that changes. A person asks, comes back later, and changes her mind. Once an answer of Lunary's
is lost on its way, as on any network.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest

from tests.doubles.lunary import PROJECT, Cut, LunaryDouble, Run
from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running
from thumbseal.claims import BACKEND_LIFE, PassClaims
from thumbseal.ids import new_id
from thumbseal.keys import Kind
from thumbseal.settings import Lunary, Secret

THREAD: Final = "5c1b7d52-9f0e-4d0a-9d3c-1f2e3d4c5b6a"
ANSWER: Final = "7e0f8a52-1c2b-4d3e-8f90-a1b2c3d4e5f6"
LATER: Final = "9a4b6c8d-0e1f-4a2b-8c3d-4e5f6a7b8c9d"
PATIENCE: Final = 30  # seconds

#: For Node and for a browser: `visits[0]` opens the thread, `visits[1]` resumes it by its id.
JAVASCRIPT: Final = """
const calls = [{ id: "c1", type: "function", function: { name: "look_up", arguments: "{}" } }];
const visits = [
  async (lunary, id) => {
    const props = { plan: "pro" };
    const thread = lunary.openThread({ id, tags: ["help"], userId: "u_42", userProps: props });
    thread.trackMessage({ role: "system", content: "Be brief." });
    thread.trackMessage({ role: "user", content: "Why?" });
    thread.trackMessage({ role: "assistant", content: null, tool_calls: calls });
    thread.trackMessage({ role: "tool", content: "42", tool_call_id: "c1" });
    thread.trackEvent("searched", { hits: 3 });
    await lunary.flush();
    thread.trackMessage({ id: "ANSWER", role: "assistant", content: "Because." });
    lunary.trackFeedback("ANSWER", { thumb: "up" });
    lunary.trackFeedback("ANSWER", { thumb: "down" });
    await lunary.flush();
  },
  async (lunary, id) => {
    const thread = lunary.openThread({ id });
    lunary.trackFeedback("ANSWER", { comment: "Too short." });
    thread.trackMessage({ role: "user", content: "And?" });
    thread.trackMessage({ id: "LATER", role: "assistant", content: "So." });
    lunary.trackFeedback("LATER", { thumb: "up" });
    lunary.trackFeedback("LATER", { thumb: null });
    await lunary.flush();
  },
];
""".replace("ANSWER", ANSWER).replace("LATER", LATER)

#: For Python; its arguments are the number of the visit and the thread's id.
PYTHON: Final = """
import sys, time
import lunary
if sys.argv[1] == "0":
    calls = [{"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
    props = {"plan": "pro"}
    thread = lunary.open_thread(id=sys.argv[2], tags=["help"], user_id="u_42", user_props=props)
    thread.track_message({"role": "system", "content": "Be brief."})
    thread.track_message({"role": "user", "content": "Why?"})
    thread.track_message({"role": "assistant", "content": None, "tool_calls": calls})
    thread.track_message({"role": "tool", "content": "42", "tool_call_id": "c1"})
    thread.track_event("searched", metadata={"hits": 3})
    thread.track_message({"id": "ANSWER", "role": "assistant", "content": "Because."})
    lunary.track_feedback("ANSWER", {"thumb": "up"})
    lunary.track_feedback("ANSWER", {"thumb": "down"})
else:
    thread = lunary.open_thread(id=sys.argv[2])
    lunary.track_feedback("ANSWER", {"comment": "Too short."})
    thread.track_message({"role": "user", "content": "And?"})
    thread.track_message({"id": "LATER", "role": "assistant", "content": "So."})
    lunary.track_feedback("LATER", {"thumb": "up"})
    lunary.track_feedback("LATER", {"thumb": None})
""".replace("ANSWER", ANSWER).replace("LATER", LATER)

State = dict[str, str]
RIGHT: Final[State] = {
    "threads": "1",
    "tags": "help",
    "user": "u_42 {'plan': 'pro'}",
    "exchange 1": "system Be brief. user Why? > assistant [look_up] tool 42 assistant Because.",
    "vote 1": "{'thumb': 'down', 'comment': 'Too short.'}",
    "exchange 2": "user And? > assistant So.",
    "vote 2": "{}",
    "events": "searched {'hits': 3}",
}

Visit = Callable[[str, str, str, int], None]  # URL, key, thread id, number


def state_of(double: LunaryDouble) -> State:
    """What Lunary shows, in words."""
    threads = double.threads()
    exchanges = list(chain.from_iterable(double.exchanges(thread.id) for thread in threads))
    customs = chain.from_iterable(double.custom_events(thread.id) for thread in threads)
    told = {
        "threads": str(len(threads)),
        "tags": ", ".join(tag for thread in threads for tag in thread.tags or ["none"]),
        "user": ", ".join(_user(double, thread) for thread in threads),
    }
    for number, run in enumerate(exchanges, 1):
        given = {key: value for key, value in (run.feedback or {}).items() if value is not None}
        told[f"exchange {number}"] = f"{_said(run.input)} > {_said(run.output)}"
        told[f"vote {number}"] = str(given)
    return {**told, "events": ", ".join(f"{each.name} {each.metadata}" for each in customs)}


def _user(double: LunaryDouble, thread: Run) -> str:
    name = double.user_of(thread)
    return next(
        (f"{u.external_id} {u.props}" for u in double.users() if u.external_id == name), "-"
    )


def _said(messages: Any) -> str:
    return " ".join(f"{each['role']} {_words(each)}" for each in messages or ()) or "-"


def _words(message: Mapping[str, Any]) -> str:
    calls = [call["function"]["name"] for call in message.get("toolCalls") or ()]
    return str(message["content"] or f"[{', '.join(calls)}]")


def both_ways(
    visit: Visit,
    folder: Path,
    title: str,
    capsys: pytest.CaptureFixture[str],
    *,
    origin: str | None = None,
    lost: Cut | None = None,
) -> tuple[State, State]:
    """What Lunary shows of the talk directly and through a proxy, printed as a table. From a page
    (``origin``) the key is a thread token, else a backend token; ``lost`` is what happens to the
    first answer, if not just that it is lost."""
    doubles = [LunaryDouble(requests_per_minute=10**9) for _ in range(2)]
    for double in doubles:
        double.faults.plan(lost or Cut())
    with serve(doubles[0]) as url:
        for number in (0, 1):
            visit(url, PROJECT.public_key, THREAD, number)
        doubles[0].settled().result(PATIENCE)
    with proxied(doubles[1], folder, origin) as proxy:
        key, thread = (backend_token(proxy), THREAD) if origin is None else _opened(proxy)
        for number in (0, 1):
            visit(proxy.url, key, thread, number)
        right = RIGHT if origin is None else RIGHT | {"user": "-"}
        with suppress(TimeoutError):
            doubles[1].until(lambda: state_of(doubles[1]) == right).result(PATIENCE)
    direct, through = (state_of(double) for double in doubles)
    with capsys.disabled():  # for whoever reads what CI wrote
        print("", *table(title, direct, through), sep="\n")  # noqa: T201
    return direct, through


def table(title: str, direct: State, through: State) -> Iterator[str]:
    """The two states side by side, with a mark where they differ."""
    rows = [(title, "Lunary directly", "through Thumbseal")]
    rows += [(key, direct.get(key, ""), through.get(key, "")) for key in direct | through]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    for row in rows:
        mark = " " if row[1] == row[2] or row == rows[0] else "*"
        yield (
            mark
            + " | ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
        )


@contextmanager
def proxied(double: LunaryDouble, folder: Path, origin: str | None = None) -> Iterator[Proxy]:
    """A proxy before a double; a page of this origin may write every role."""
    policy: dict[str, Any] = {}
    if origin is not None:
        policy = {"origins": [origin], "browser_roles": ["user", "assistant", "tool", "system"]}
    with serve(double) as url:
        upstream = Lunary("lunary", Secret(PROJECT.private_key), url, requests_per_minute=100_000)
        with running(make_settings(folder, upstreams=[upstream], **policy), time.time) as proxy:
            yield proxy


def backend_token(proxy: Proxy) -> str:
    """As `thumbseal token backend` makes it."""
    now = int(proxy.clock())
    claims = PassClaims(new_id(), now, now + BACKEND_LIFE)
    return proxy.tokens().mint_pass(Kind.BACKEND, claims)


def _opened(proxy: Proxy) -> tuple[str, str]:
    thread = proxy.open()["thread"]
    return thread["token"], thread["id"]
