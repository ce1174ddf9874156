"""``GET /openapi.json``: it names every route, and what each of them takes and answers."""

import json
import re
from pathlib import Path
from typing import Any, Final, get_args

import jsonschema
import pytest
import schemathesis
from starlette.applications import Starlette

from tests.proxy import Proxy, make_settings, running
from thumbseal.events import MAX_TAGS, Reason
from thumbseal.web import app

PAGE: Final = Path(__file__).parents[1] / "docs" / "protocol.md"
PEOPLE: Final = re.compile(r"/|/static|/replay(/.*)?")  # pages, which programs do not read
METHODS: Final = {"get", "post", "put", "patch", "delete", "options", "head", "trace"}


def described(proxy: Proxy) -> dict[str, Any]:
    answer = proxy.http.get("/openapi.json")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): place[method]
        for path, place in document["paths"].items()
        for method in METHODS & place.keys()
    }


def told_by(page: str) -> set[tuple[str, str]]:
    """The routes that a page names, as in `POST /v1/threads`."""
    return set(re.findall(r"`(GET|POST) (/[^`?\s]*)", page))


def test_every_route_of_the_app_stands_in_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the pages for people, the routes that the server has are those of the document."""
    seen: list[Any] = []

    def spy(*, routes: list[Any], **rest: Any) -> Starlette:
        seen.extend(routes)
        return Starlette(routes=routes, **rest)

    monkeypatch.setattr(app, "Starlette", spy)
    with running(make_settings(tmp_path)) as proxy:
        named = set(operations(described(proxy)))
    found = {
        (method, re.sub(r":\w+}", "}", each.path))
        for each in seen
        for method in getattr(each, "methods", None) or {"GET"}
        if method != "HEAD" and not PEOPLE.fullmatch(each.path)
    }
    assert len(found) >= 12
    assert named == found


def test_it_is_valid_openapi(proxy: Proxy) -> None:
    """By the specification's own schema, and each schema in it by JSON Schema's; no reference
    leads nowhere, and no operation has another's name."""
    document = described(proxy)
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [each["operationId"] for each in operations(document).values()]
    assert len(names) == len(set(names))
    for kind, name in re.findall(r'"#/components/(\w+)/(\w[\w-]*)"', json.dumps(document)):
        assert name in document["components"][kind]


def test_it_says_what_the_parsers_say(proxy: Proxy) -> None:
    """Its schemas hold the limits, the patterns and the closed forms of the classes that parse."""
    schemas = described(proxy)["components"]["schemas"]
    message = schemas["Message"]
    assert message["additionalProperties"] is False
    assert message["properties"]["id"]["pattern"] == "^[A-Za-z0-9_-]{1,64}$"
    assert message["properties"]["tags"]["anyOf"][0]["maxItems"] == MAX_TAGS
    assert schemas["Envelope"]["properties"]["events"]["items"]["$ref"].endswith("/Event")
    assert {each["$ref"] for each in schemas["Event"]["anyOf"]} == {
        f"#/components/schemas/{name}" for name in ("Message", "Feedback", "ThreadChange", "Custom")
    }


def test_it_is_served_with_an_etag(proxy: Proxy) -> None:
    """Whoever has it already is told so; tools on any page may read it."""
    first = proxy.http.get("/openapi.json")
    again = proxy.http.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["access-control-allow-origin"] == "*"


def test_the_page_on_the_protocol_names_the_same_routes_and_codes(proxy: Proxy) -> None:
    """docs/protocol.md and the document: the same routes, and each code with the same status."""
    page, document = PAGE.read_text("utf-8"), described(proxy)
    assert told_by(page) == set(operations(document))
    told = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE))
    assert told.pop("method_not_allowed") == "405"  # which is no operation's answer
    refused = {
        reference.rpartition("/")[2]: status
        for operation in operations(document).values()
        for status, answer in operation["responses"].items()
        if (reference := answer.get("$ref"))
    }
    assert refused == told
    rejected = re.findall(r"^\| `(\w+)` \| [^\d|]", page, re.MULTILINE)
    assert sorted(rejected) == sorted(get_args(Reason))


def test_a_real_error_has_the_form_that_it_says(proxy: Proxy) -> None:
    """What is answered fits the answer's schema, to the code."""
    document = described(proxy)
    refusal = document["components"]["responses"]["bad_request"]
    schema = refusal["content"]["application/json"]["schema"] | {
        "components": document["components"]
    }
    body = proxy.post("/v1/threads", {"want": "many"}).json()
    jsonschema.validate(body, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"error": {**body["error"], "code": "too_large"}}, schema)
