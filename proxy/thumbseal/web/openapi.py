"""``GET /openapi.json``: OpenAPI 3.1, made from the routes and the classes that they parse.

A description of this kind cannot say all: lengths in bytes, how deep a value may nest, and that
one bad event fails alone are told in words, and at length on the page about the protocol.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from thumbseal import __version__
from thumbseal.errors import RequestError
from thumbseal.events import SentEntry
from thumbseal.web.operations import JSON, OF_ALL, TEXT, Answer, Described, Operation, Parameter
from thumbseal.web.problems import Failure
from thumbseal.web.scripts import make_script
from thumbseal_widget import File

PATH: Final = "/openapi.json"
CACHING: Final = "no-cache"  # asked for again each time, and answered with 304
RETRIED: Final = (429, 503, 507)  # the statuses that come with Retry-After
_SCHEMA: Final = "#/components/schemas/{name}"
_ABOUT: Final = """\
What a page's widget and an application's backend say to Thumbseal. `docs/protocol.md` tells it in
words. Times are milliseconds since 1970. A token is a secret: it stands in a body or in the
`Authorization` header, never in an address. Each answer has an `X-Request-Id`."""
_BEARERS: Final = {
    "backend": "A backend token, as `thumbseal token backend` makes it.",
    "thread": "A thread token: the key of Lunary's SDKs.",
}
_HEADERS: Final = {
    "ETag": "A name for these bytes; `If-None-Match` with it is answered with 304.",
    "Retry-After": "Seconds after which to try again.",
    "X-Request-Id": "The request's name in the server's log.",
}


class OpenApi:
    """The route of the document about these routes; ``url`` is what clients call the server."""

    def __init__(self, routes: Sequence[BaseRoute], url: str | None) -> None:
        self._route = Described(PATH, self.describe, _OPERATION)
        described = [each for each in [*routes, self._route] if isinstance(each, Described)]
        text = msgspec.json.encode(document(described, url or "/"))
        self._script = make_script("openapi.json", File(text))

    def routes(self) -> list[BaseRoute]:
        return [self._route]

    async def describe(self, request: Request) -> Response:
        """``GET /openapi.json``: this document."""
        return self._script.answer(request, CACHING)


_OPERATION: Final = Operation(
    "describeApi",
    (
        Answer("The document.", body=dict[str, Any], headers=("ETag",)),
        Answer("As before.", 304, ()),
    ),
    parameters=(Parameter("If-None-Match", "header", "The ETag of what the caller has."),),
)


def document(routes: Sequence[Described], url: str) -> dict[str, Any]:
    """The document about these routes of a server at ``url``."""
    operations = [each.operation for each in routes]
    refs, schemas = _schemas(operations)
    refusals = {kind for each in operations for kind in _refusals(each)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        place = paths.setdefault(re.sub(r":\w+}", "}", route.path), {})
        for method in sorted((route.methods or set()) - {"HEAD"}):
            place[method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Thumbseal", "version": __version__, "description": _flat(_ABOUT)},
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {kind.code: _refusal(kind) for kind in sorted(refusals, key=_order)},
            "headers": {name: _header(name, text) for name, text in _HEADERS.items()},
            "securitySchemes": {
                name: {"type": "http", "scheme": "bearer", "description": text}
                for name, text in _BEARERS.items()
            },
        },
    }


def _operation(route: Described, refs: dict[Any, Any]) -> dict[str, Any]:
    operation = route.operation
    answers: dict[str, Any] = {}
    for answer in operation.answers:
        answers[str(answer.status)] = _answer(answer, refs)
    for kind in sorted(_refusals(operation), key=_order):
        _add(answers, kind)
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": _summary(route.endpoint),
        "security": [{each: []} if each else {} for each in operation.bearers],
        "responses": answers,
    }
    if operation.parameters:
        described["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.body is not None:
        described["requestBody"] = _body(refs[operation.body])
    return described


def _body(schema: Any) -> dict[str, Any]:
    """JSON, and the same as a text: browsers ask nobody before they send that."""
    text = {"type": "string", "contentMediaType": JSON, "contentSchema": schema}
    return {"required": True, "content": {JSON: {"schema": schema}, TEXT: {"schema": text}}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "required": parameter.place == "path",
        "schema": {"type": "string"},
    }


def _answer(answer: Answer, refs: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": answer.text, "headers": _headers(answer.headers)}
    match answer.body:
        case None:
            schema: Any = {}
        case str():
            schema = {"type": "string", "enum": answer.body.split()}
        case _:
            schema = refs[answer.body]
    content = {media: {"schema": schema} for media in answer.media}
    return {**told, "content": content} if content else told


def _refusal(kind: type[RequestError]) -> dict[str, Any]:
    known = {"code": {"const": kind.code}, "retry": {"const": kind.retry}}
    narrowed = {"properties": {"error": {"properties": known}}}
    schema = {"allOf": [{"$ref": _SCHEMA.format(name=Failure.__name__)}, narrowed]}
    headers = ("Retry-After",) if kind.status in RETRIED else ()
    return {
        "description": _flat(kind.__doc__ or "").partition(": ")[2],
        "headers": _headers(headers),
        "content": {JSON: {"schema": schema}},
    }


def _add(answers: dict[str, Any], kind: type[RequestError]) -> None:
    """A refusal, beside an answer of the same status where there is one."""
    status = str(kind.status)
    if status in answers:
        answers[status]["content"] |= _refusal(kind)["content"]
    else:
        answers[status] = {"$ref": f"#/components/responses/{kind.code}"}


def _refusals(operation: Operation) -> set[type[RequestError]]:
    return {*OF_ALL, *operation.refusals}


def _order(kind: type[RequestError]) -> tuple[int, str]:
    return kind.status, kind.code


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-Id")}


def _header(name: str, text: str) -> dict[str, Any]:
    kind = {"type": "integer", "minimum": 1} if name == "Retry-After" else {"type": "string"}
    return {"description": text, "schema": kind}


def _schemas(operations: Iterable[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """What stands for each class, and the schemas by name."""
    classes = list(dict.fromkeys(_classes(operations)))
    found, schemas = msgspec.json.schema_components(classes, ref_template=_SCHEMA)
    refs = dict(zip(classes, map(_spelt, found), strict=True))
    # The parser takes each event as it is, to judge it alone; this is what becomes of it.
    schemas["Event"] = refs[SentEntry]
    for name, schema in schemas.items():
        schemas[name] = _spelt(schema)
    schemas["Envelope"]["properties"]["events"]["items"] = {"$ref": _SCHEMA.format(name="Event")}
    return refs, dict(sorted(schemas.items()))


def _classes(operations: Iterable[Operation]) -> Iterator[Any]:
    yield SentEntry
    yield Failure
    for operation in operations:
        told = [answer.body for answer in operation.answers]
        yield from (each for each in [operation.body, *told] if not isinstance(each, str | None))


def _spelt(schema: Any) -> Any:
    """The same schema with patterns as JSON Schema spells them, and docstrings as plain text."""
    match schema:
        case {"pattern": str(pattern), **rest}:
            return {**rest, "pattern": pattern.replace(r"\A", "^").replace(r"\Z", "$")}
        case {"description": str(text), **rest}:
            return {"description": _flat(text), **_spelt(rest)}
        case dict():
            return {name: _spelt(inner) for name, inner in schema.items()}
        case list():
            return [_spelt(inner) for inner in schema]
        case _:
            return schema


def _summary(endpoint: Any) -> str:
    """The first paragraph of a docstring, without the route that it begins with."""
    text = _flat((inspect.getdoc(endpoint) or "").partition("\n\n")[0])
    told = re.sub(r"^`[^`]+`: ", "", text)
    return told[:1].upper() + told[1:]


def _flat(text: str) -> str:
    return " ".join(text.replace("``", "`").split())
