"""Driving: so many cases of each operation, right and wrong, from one seed."""

from collections.abc import Iterator
from typing import Any, Final

import hypothesis
import requests
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from tests.fuzz.api import Held, hold, make_schema
from tests.fuzz.judging import EVENTS, Judge
from tests.proxy import ORIGIN, Proxy

SHARES: Final = {EVENTS: 10, "/v1/threads": 4, "/v1/runs/ingest": 4}  # of all cases; others one
ORIGINS: Final = (ORIGIN, ORIGIN, ORIGIN, None, "https://evil.example.com")


class Driver:
    """One proxy, and cases for it by its document; ``judge`` has the figures."""

    def __init__(self, proxy: Proxy, document: dict[str, Any], seed: int) -> None:
        self.judge = Judge(document)
        self._held = hold(proxy)
        self._url = proxy.url
        self._seed = seed
        schema = make_schema(document, self._held)
        operations = [each.ok() for each in schema.get_all_operations()]
        self._plans = [(each, mode) for each in operations for mode in _modes(each)]

    def drive(self, cases: int) -> None:
        """Try about so many cases.

        Raises:
            FailureGroup, AssertionError: an answer is not as the document says; with the request.
        """
        part = cases / sum(_share(operation) for operation, _ in self._plans)
        with requests.Session() as session:
            session.trust_env = False
            for operation, mode in self._plans:
                self._try(session, operation, mode, max(1, round(part * _share(operation))))

    def _try(
        self, session: requests.Session, operation: Any, mode: GenerationMode, cases: int
    ) -> None:
        @hypothesis.seed(self._seed)
        @hypothesis.settings(
            max_examples=cases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=operation.as_strategy(generation_mode=mode),
            bearer=st.sampled_from(_bearers(operation, self._held)),
            origin=st.sampled_from(ORIGINS),
            as_text=st.booleans(),
        )
        def attempt(case: Case[Any], bearer: str | None, origin: str | None, as_text: bool) -> None:
            headers = {"Origin": origin, "Authorization": bearer}
            if as_text and case.media_type:
                headers["Content-Type"] = "text/plain;charset=UTF-8"
            sent = {name: value for name, value in headers.items() if value is not None}
            case.body = _whole(case.body)
            self.judge.check(case, case.call(self._url, session, sent))

        attempt()


def _modes(operation: Any) -> Iterator[GenerationMode]:
    """What takes no more than words cannot be asked wrongly."""
    yield GenerationMode.POSITIVE
    if operation.body:
        yield GenerationMode.NEGATIVE


def _share(operation: Any) -> float:
    return SHARES.get(operation.path, 1)


def _bearers(operation: Any, held: Held) -> list[str | None]:
    """Right ones more often than not, where the operation takes any."""
    named = {name for each in operation.definition.raw["security"] for name in each}
    right = {"thread": held.thread, "backend": held.backend}
    bearers = [f"Bearer {right[name]}" for name in sorted(named)]
    return [*bearers * 4, *(f"Bearer {each}" for each in right.values()), None, None]


def _whole(value: Any) -> Any:
    """JSON Schema takes 1.0 for an integer; the page on the protocol says that 1 is meant."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _whole(inner) for name, inner in value.items()}
        case list():
            return [_whole(inner) for inner in value]
        case _:
            return value


def read_document(proxy: Proxy) -> dict[str, Any]:
    """What the proxy says of itself."""
    return dict(proxy.http.get("/openapi.json").json())
