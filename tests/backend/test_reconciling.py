"""The whole way: a page in Chromium, a FastAPI backend, OpenAI's SDK, OpenTelemetry, and a vote
that hangs on the exchange under whose id the model's call was recorded."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running
from tests.test_site import site_of
from thumbseal.backend import answers, asgi
from thumbseal.conversation import Conversation
from thumbseal.ids import new_id

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
  const reply = await fetch("/api/chat", { method: "POST", headers: question.headers() });
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
    """A function that asks the model through the real SDK, whose HTTP calls are traced."""
    with model() as url, httpx.Client(trust_env=False) as http:
        HTTPXClientInstrumentor.instrument_client(http, tracer_provider=kept.provider)
        client_of: Any = openai.OpenAI  # it says that it takes httpx2's clients alone
        client = client_of(base_url=url, api_key="none", http_client=http, max_retries=0)

        def ask() -> str:
            messages: Any = [{"role": "user", "content": "Why?"}]
            answer = client.chat.completions.create(model="m", messages=messages)
            return str(answer.choices[0].message.content)

        yield ask


def with_no_code(app: FastAPI, ask: Any, kept: Traces, proxy: Proxy) -> None:
    """A backend that does not know of Thumbseal; OpenTelemetry's instrumentation is all it has."""

    @app.post("/api/chat")
    def chat() -> Response:
        return Response(ask(), media_type="text/plain")

    FastAPIInstrumentor.instrument_app(app, tracer_provider=kept.provider)


def with_parent(app: FastAPI, ask: Any, kept: Traces, proxy: Proxy) -> None:
    """A backend that verifies the message, has parent() around the call, records the answer, and
    gives its message back; no instrumentation of its requests."""
    client = thumbseal.Client(proxy.url, site_of(proxy))
    app.add_middleware(asgi.ThumbsealMiddleware, site=client.site, bad="refuse")

    @app.post("/api/chat")
    def chat(request: Request) -> Response:
        question = request.state.thumbseal_message
        with thumbseal.parent(question):
            text = ask()
        said = {"role": "assistant", "content": text}
        answer = client.thread_of(question).track_message(said, reply_to=question)
        return Response(text, media_type="text/plain", headers=answers.headers_of(answer))


@pytest.mark.parametrize("how", [with_no_code, with_parent])
def test_a_vote_and_the_models_call_hang_on_one_exchange(
    how: Any, context: BrowserContext, tmp_path: Path
) -> None:
    """From the page to the model and back: the trace of the call that OpenAI's SDK made is the id
    of the exchange that the vote is on, though the backend keeps one trace in a million."""
    app, places = FastAPI(), dict[str, str]()

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE % places["proxy"])

    with ExitStack() as stack:
        kept = stack.enter_context(traces(ParentBased(TraceIdRatioBased(1e-6))))
        ask = stack.enter_context(asking(kept))
        # The backend knows its proxy before it starts, and the proxy its page's origin.
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = make_settings(tmp_path, origins=[f"http://127.0.0.1:{port}"])
        proxy = stack.enter_context(running(settings, time.time))
        places["proxy"] = proxy.url
        how(app, ask, kept, proxy)
        url = stack.enter_context(serve(app, port=port))
        opened = context.new_page()
        opened.goto(url)
        opened.get_by_role("button", name="Good answer").click()
        expect(opened.get_by_role("status")).to_have_text("Thanks")
        opened.evaluate("thumbseal.flush()")
        exchange = voted_exchange(proxy, opened)
        assert kept.calls() == [exchange.replace("-", "")]


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
    assert [turn.message.role for turn in exchange.turns] == ["user", "assistant"]
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
