"""parent() with the SDKs that it tells: OpenTelemetry's spans, and the runs of Lunary's."""

import hashlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

import thumbseal
from tests.proxy import Clock
from thumbseal import parent
from thumbseal.keys import Keys, new_key

lunary: Any = import_module("lunary")  # it says its types in part
SITE: Final = thumbseal.Site("support", Keys.derive([new_key()]).for_app(), clock=Clock())
THREAD: Final = SITE.open_thread()
FIRST, SECOND = SITE.mint_message(THREAD), SITE.mint_message(THREAD)


class Traced:
    """A tracer that keeps one trace in a million of its own, and what it kept."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self._provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(1e-6)))
        self._provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.tracer: Tracer = self._provider.get_tracer("tests")

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._memory.get_finished_spans()}

    def close(self) -> None:
        self._provider.shutdown()


@pytest.fixture
def traced() -> Iterator[Traced]:
    opened = Traced()
    yield opened
    opened.close()


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_spans_inside_are_of_the_messages_trace_and_kept(traced: Traced) -> None:
    """A span inside has the message's id as its trace and is sampled whatever the rate; what comes
    after is of a trace of its own."""
    with parent(FIRST):
        with traced.tracer.start_as_current_span("one"), parent(SECOND):
            traced.tracer.start_span("nested").end()
        traced.tracer.start_span("two").end()
    assert not traced.tracer.start_span("after").is_recording()
    spans = traced.spans()
    assert {name: trace_of(span) for name, span in spans.items()} == {
        "one": FIRST.trace_id,
        "nested": SECOND.trace_id,
        "two": FIRST.trace_id,
    }
    parents = {span.parent.span_id for name, span in spans.items() if span.parent}
    assert len(parents) == 2  # calls for one message share a parent


def test_a_span_of_the_same_trace_stays_the_parent(traced: Traced) -> None:
    """Under a framework's span that took the page's `traceparent`, nothing is put between."""
    with parent(FIRST), traced.tracer.start_as_current_span("request") as request:
        with parent(FIRST):
            traced.tracer.start_span("call").end()
        expected = request.get_span_context().span_id
    call = traced.spans()["call"]
    assert call.parent is not None
    assert call.parent.span_id == expected


def test_lunarys_runs_inside_have_the_message_as_their_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that Lunary's SDK tracks names the innermost message, as that SDK spells ids; when a
    parent ends, one that the application had set by Lunary's own means is there again."""
    monkeypatch.setattr(lunary.get_config(), "app_id", KEY)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(lunary.queue, "append", lambda event: sent.append(event))

    @lunary.agent()  # type: ignore[untyped-decorator]
    def think() -> str:
        return "A"

    with lunary.parent("their-own"):
        with parent(FIRST):
            think()
            with parent(SECOND):
                think()
            think()
        think()
    think()
    starts = [event for event in sent if event["event"] == "start"]
    names = [FIRST.id, SECOND.id, FIRST.id, "their-own"]
    expected = [spelled(name) for name in names]
    assert [start["parentRunId"] for start in starts] == [*expected, None]


KEY: Final = "259d2d94-9446-478a-ae04-484de705b522"


def spelled(name: str) -> str:
    return str(UUID(hashlib.sha256((name + KEY).encode()).hexdigest()[:32]))
