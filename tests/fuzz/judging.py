"""What every answer is judged by: Schemathesis' own checks, and what only this API promises.

Events are judged one by one, so a batch with a wrong one is answered 202 all the same. Which of
them are wrong, JSON Schema says here; the server's parser has to agree.
"""

import json
from collections import Counter
from typing import Any, Final

import jsonschema_rs
import msgspec
from msgspec import Struct
from schemathesis import Case, Response
from schemathesis.checks import CHECKS

EVENTS: Final = "/v1/events"
# Rules between fields, which no schema says: a page vouches for nobody, and names its thread once.
BETWEEN: Final = ("token", "user")
ELSEWHERE: Final = ("negative_data_rejection", "positive_data_acceptance")


class Figures(Struct):
    """What was tried, and what came of it: answers by operation and status, events by verdict."""

    cases: int = 0
    answers: dict[str, Counter[str]] = {}
    events: Counter[str] = msgspec.field(default_factory=Counter)


class Judge:
    """Judges answers to one document's requests, and counts them."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.figures = Figures()
        components = {"components": document["components"]}
        self._event = _validator("Event", components)
        envelope = document["components"]["schemas"]["Envelope"]
        anything = envelope["properties"] | {"events": {"type": "array", "maxItems": 50}}
        self._envelope = jsonschema_rs.validator_for(
            {**envelope, "properties": anything, **components}
        )

    def check(self, case: Case[Any], response: Response) -> None:
        """Raise what is wrong with an answer."""
        self.figures.cases += 1
        answers = self.figures.answers.setdefault(case.operation.label, Counter())
        answers[str(response.status_code)] += 1
        if case.path == EVENTS and case.method == "POST":
            case.validate_response(response, excluded_checks=_checks(*ELSEWHERE))
            self._check_events(response)
        elif response.status_code == 400 and response.json()["error"].get("field") in BETWEEN:
            case.validate_response(response, excluded_checks=_checks(ELSEWHERE[1]))
        else:
            case.validate_response(response)

    def _check_events(self, response: Response) -> None:
        body = _json(response.request.body)
        if not self._envelope.is_valid(body):
            assert response.status_code in (400, 413), "A wrong envelope was taken."
        elif response.status_code == 400:
            assert response.json()["error"]["field"] in BETWEEN, "A right envelope was refused."
        if response.status_code != 202:
            return
        results = response.json()["results"]
        assert len(results) == len(body["events"])
        for event, result in zip(body["events"], results, strict=True):
            self.figures.events[result.get("code", result["status"])] += 1
            assert self._event.is_valid(event) or result.get("code") == "bad_event", event


def _validator(name: str, components: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", **components})


def _checks(*names: str) -> Any:
    return CHECKS.get_by_names(names)


def _json(body: Any) -> Any:
    try:
        return json.loads(body or b"")
    except ValueError:
        return None
