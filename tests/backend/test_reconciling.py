"""The whole way: a page in Chromium, a FastAPI backend, OpenAI's SDK, OpenTelemetry, and a vote
that hangs on the exchange under whose id the model's call was recorded."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import httpx
import httpx2
import openai
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from playwright.sync_api import BrowserContext, expect

import thumbseal
from tests.backend.model import model
from tests.browser.hosting import until
from tests.doubles.lunary import PROJECT, LunaryDouble
from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running
from tests.seed import backend_token
from tests.test_site import site_of
from thumbseal.backend import answers, asgi
from thumbseal.conversation import Conversation, Turn
from thumbseal.ids import new_id
from thumbseal.settings import Lunary, Secret

lunary: Any = import_module("lunary")  # it says its types in part
PATIENCE: Final = 30
SEVERAL: Final = 400
QUARTER: Final = 0.25
#: Five standard deviations of a share of so many: one run in millions is further off.
NOISE: Final = 5 * (QUARTER * (1 - QUARTER) / SEVERAL) ** 0.5

PAGE: Final = """<!doctype html><html lang="en"><title>Chat</title>
<script src="%s/widget.js" defer></script>
<body><p id="answer"></p>
<script type="module">
  const thread = thumbseal.openThread();
  const question = thread.trackMessage({ role: "user", content: "Why?" });
  await question.ready;
  const chat = `/api/chat?message=${question.id}`;
  const reply = await fetch(chat, { method: "POST", headers: question.headers() });
  const text = await reply.text();
  const place = document.querySelector("#answer");
  place.textContent = text;
  const token = reply.headers.get("x-thumbseal-message");
  if (token) {
    place.dataset.thumbsealMessage = token;
  } else {
    const answer = thread.trackMessage({ role: "assistant", content: text, replyTo: question });
    await answer.ready;
    place.dataset.thumbsealMessage = answer.token;
  }
</script>"""


class Traces:
    """A tracer provider and the spans that it kept."""

    def __init__(self, sampler: Sampler) -> None:
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))

    def spans(self) -> list[ReadableSpan]:
        return list(self._memory.get_finished_spans())

    def calls(self) -> list[str]:
        """The traces of the calls to the model, as W3C spells them."""
        kinds = [span for span in self.spans() if span.kind.name == "CLIENT"]
        return [f"{span.context.trace_id:032x}" for span in kinds if span.context]


@contextmanager
def traces(sampler: Sampler) -> Iterator[Traces]:
    kept = Traces(sampler)
    try:
        yield kept
    finally:
        kept.provider.shutdown()


@contextmanager
def asking(kept: Traces) -> Iterator[Any]:
    """The real SDK's client of the model, whose HTTP calls are traced."""
    with model() as url, httpx.Client(trust_env=False) as http:
        HTTPXClientInstrumentor.instrument_client(http, tracer_provider=kept.provider)
        client_of: Any = openai.OpenAI  # it says that it takes httpx2's clients alone
        yield client_of(base_url=url, api_key="none", http_client=http, max_retries=0)


def ask(client: Any) -> str:
    answer = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Why?"}]
    )
    return str(answer.choices[0].message.content)


def with_no_code(app: FastAPI, client: Any, kept: Traces, proxy: Proxy) -> None:
    """A backend that does not know of Thumbseal; OpenTelemetry's instrumentation is all it has."""

    @app.post("/api/chat")
    def chat() -> Response:
        return Response(ask(client), media_type="text/plain")

    FastAPIInstrumentor.instrument_app(app, tracer_provider=kept.provider)


def with_parent(app: FastAPI, client: Any, kept: Traces, proxy: Proxy) -> None:
    """A backend that verifies the message, has parent() around the call, records the answer, and
    gives its message back; no instrumentation of its requests."""
    recorder = thumbseal.Client(proxy.url, site_of(proxy))
    app.add_middleware(asgi.ThumbsealMiddleware, site=recorder.site, bad="refuse")

    @app.post("/api/chat")
    def chat(request: Request) -> Response:
        question = request.state.thumbseal_message
        with thumbseal.parent(question):
            text = ask(client)
        said = {"role": "assistant", "content": text}
        answer = recorder.thread_of(question).track_message(said, reply_to=question)
        return Response(text, media_type="text/plain", headers=answers.headers_of(answer))


def with_lunary(app: FastAPI, client: Any, kept: Traces, proxy: Proxy) -> None:
    """A backend that has Lunary's SDK and nothing else: URL and key are this proxy's, `monitor`
    records what the model does, and `parent` says for which message, by the id that the page sent.
    """
    lunary.config(api_url=proxy.url, app_id=backend_token(proxy))
    lunary.monitor(client)

    @app.post("/api/chat")
    def chat(message: str) -> Response:
        with lunary.parent(message):
            return Response(ask(client), media_type="text/plain")


@pytest.fixture
def _lunary_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are the process's."""
    for name in ("api_url", "app_id"):
        monkeypatch.setattr(lunary.get_config(), name, None)


@pytest.mark.usefixtures("_lunary_as_it_was")
@pytest.mark.parametrize("how", [with_no_code, with_parent, with_lunary])
def test_a_vote_and_the_models_call_hang_on_one_exchange(
    how: Any, context: BrowserContext, tmp_path: Path
) -> None:
    """From the page to the model and back: the trace of the call that OpenAI's SDK made is the id
    of the exchange that the vote is on, though the backend keeps one trace in a million. With
    Lunary's SDK it is the run that hangs there, at Lunary itself, where the vote has arrived."""
    app, places, double = FastAPI(), dict[str, str](), LunaryDouble(requests_per_minute=10**9)

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE % places["proxy"])

    with ExitStack() as stack:
        kept = stack.enter_context(traces(ParentBased(TraceIdRatioBased(1e-6))))
        client = stack.enter_context(asking(kept))
        # The backend knows its proxy before it starts, and the proxy its page's origin.
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        lunarys = stack.enter_context(serve(double))
        upstream = Lunary("lunary", Secret(PROJECT.private_key), lunarys, requests_per_minute=10**6)
        origins = [f"http://127.0.0.1:{port}"]
        settings = make_settings(tmp_path, upstreams=[upstream], origins=origins)
        proxy = stack.enter_context(running(settings, time.time))
        places["proxy"] = proxy.url
        how(app, client, kept, proxy)
        url = stack.enter_context(serve(app, port=port))
        opened = context.new_page()
        opened.goto(url)
        opened.get_by_role("button", name="Good answer").click()
        expect(opened.get_by_role("status")).to_have_text("Thanks", timeout=PATIENCE * 1000)
        opened.evaluate("thumbseal.flush()")
        exchange = voted_exchange(proxy, opened)
        calls = kept.calls()
        double.until(lambda: _voted(double) == [(exchange, "up")]).result(PATIENCE)
        if how is with_lunary:
            double.until(lambda: _runs(double) == [(exchange, "success")]).result(PATIENCE)
        else:
            assert calls == [exchange.replace("-", "")]


def _voted(double: LunaryDouble) -> list[tuple[str, Any]]:
    exchanges = (run for thread in double.threads() for run in double.exchanges(thread.id))
    return [(run.id, (run.feedback or {}).get("thumb")) for run in exchanges]


def _runs(double: LunaryDouble) -> list[tuple[str | None, str | None]]:
    runs = (run for run in double.database.runs() if run.type == "llm")
    return [(run.parent_run_id, run.status) for run in runs]


def voted_exchange(proxy: Proxy, page: Any) -> str:
    """The exchange of the one vote, once question and answer are both recorded."""

    def told() -> Conversation | None:
        found = proxy.conversations()
        return found[0] if found and len(found[0].turns) == 2 and found[0].ratings else None

    until(page, lambda: told() is not None, lambda: f"recorded: {proxy.conversations()}")
    conversation = told()
    assert conversation is not None
    ((id_, exchange),) = conversation.exchanges.items()
    (rating,) = conversation.ratings.values()
    assert rating.message in [turn.message.message for turn in exchange.turns]
    assert rating.opinion.thumb == "up"
    script = [turn for turn in conversation.script if isinstance(turn, Turn)]
    assert [turn.message.role for turn in script] == ["user", "assistant"]
    return id_


@pytest.mark.parametrize(("flag", "share", "noise"), [("00", QUARTER, NOISE), ("01", 1.0, 0.0)])
def test_a_sampler_takes_its_share_of_messages(flag: str, share: float, noise: float) -> None:
    """With a ratio sampler at a quarter, message ids are as good as random ones: a quarter of the
    requests whose page leaves it to the backend are kept, and all those it asks to keep."""
    ratio = TraceIdRatioBased(QUARTER)
    with traces(ParentBased(ratio, remote_parent_not_sampled=ratio)) as kept:
        app = FastAPI()
        FastAPIInstrumentor.instrument_app(app, tracer_provider=kept.provider)

        @app.get("/")
        async def answer() -> str:
            return "A"

        with serve(app) as url, httpx2.Client(trust_env=False) as http:
            ids = [new_id().replace("-", "") for _ in range(SEVERAL)]
            for id_ in ids:
                http.get(url, headers={"traceparent": f"00-{id_}-{'1' * 16}-{flag}"})
        requests = [span for span in kept.spans() if span.kind.name == "SERVER"]
    assert abs(len(requests) / SEVERAL - share) <= noise
    assert {f"{span.context.trace_id:032x}" for span in requests if span.context} <= set(ids)
