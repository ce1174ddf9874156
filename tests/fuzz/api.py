"""The API as the fuzzer sees it: the server's own document, with real tokens where tokens stand."""

from typing import Any, Final

import schemathesis
from hypothesis import strategies as st
from msgspec import Struct

from tests.inside import minted_pass
from tests.proxy import Proxy, said
from thumbseal.claims import MessageClaims

# Where tokens and names stand: schema, property, what it is.
PLACES: Final = (
    ("Envelope", "token", "thread-token"),
    ("Envelope", "read", "message-token"),
    ("Entrance", "thread", "thread-token"),
    ("Entrance", "from", "thread-token"),
    ("Entrance", "site", "site-name"),
    ("Opening", "thread", "thread-token"),
    ("Opening", "from", "thread-token"),
    ("Opening", "site", "site-name"),
    ("Question", "messages", "message-token"),
    ("Message", "message", "message-token"),
    ("Message", "reply_to", "message-token"),
    ("Message", "retry_of", "message-token"),
    ("Feedback", "message", "message-token"),
)
PARAMETERS: Final = {"site": "site-name", "digest": "digest", "name": "file-name", "run": "run-id"}
RUN: Final = {
    "type": "object",
    "properties": {
        "type": {"enum": ["thread", "llm"]},
        "event": {"enum": ["chat", "feedback", "custom-event", "start"]},
        "runId": {"type": "string", "format": "run-id"},
        "parentRunId": {"type": "string", "format": "thread-id"},
        "timestamp": {"type": "integer", "minimum": 0},
        "message": {"type": "object", "properties": {"role": {"enum": ["user", "bot"]}}},
        "feedback": {"$ref": "#/components/schemas/Opinion"},
    },
    "required": ["event", "runId", "timestamp"],
}


class Held(Struct, frozen=True):
    """What a client may hold, by the name of its format: good tokens and ones that are not."""

    words: dict[str, tuple[str, ...]]
    backend: str
    thread: str


def hold(proxy: Proxy, threads: int = 4) -> Held:
    """Threads with some messages said and some blanks left, and tokens past their time."""
    opened = [proxy.open(want=16) for _ in range(threads)]
    for each in opened:
        said_ones = (said(blank, "user", "Hi") for blank in each["messages"][:4])
        proxy.record(each["thread"]["token"], *said_ones)
    threads_ = tuple(each["thread"]["token"] for each in opened)
    messages = tuple(blank["token"] for each in opened for blank in each["messages"])
    files = proxy.http.get("/embed.json").json()["files"]
    digest = next(iter(files.values()))["url"].partition("/w/")[2].partition("/")[0]
    words = {
        "thread-token": (*threads_, messages[0], ""),
        "thread-id": (*(each["thread"]["id"] for each in opened), "other"),
        "message-token": (*messages, "~mine", "~", threads_[0], _expired(proxy, messages[0])),
        "site-name": ("support", "support", "support", "sales"),
        "run-id": ("run-1", "run-2", "x" * 129),
        "file-name": tuple(files),
        "digest": (digest, digest, digest, "0" * 16),
    }
    return Held(words, minted_pass(proxy, life=300 * 24 * 3600), threads_[0])


def _expired(proxy: Proxy, token: str) -> str:
    claims = proxy.tokens().read_message(token, proxy.clock())
    spent = MessageClaims(claims.thread, claims.message, claims.actor, 1, 2)
    return proxy.tokens().mint_message(spent)


def make_schema(document: dict[str, Any], held: Held) -> Any:
    """Schemathesis' schema of the API, which draws what is held where the document says no more
    than "a string"."""
    for name, words in held.words.items():
        schemathesis.openapi.format(name, st.sampled_from(words * 4) | st.text(min_size=1))
    schemas = document["components"]["schemas"]
    for schema, name, form in PLACES:
        _form(schemas[schema]["properties"][name], form)
    schemas["Run"] = RUN
    runs, one = schemas["Batch"]["properties"]["events"]["anyOf"]
    runs["items"] = {"anyOf": [{"$ref": "#/components/schemas/Run"}, one]}
    for place in document["paths"].values():
        for operation in place.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in PARAMETERS:
                    parameter["schema"]["format"] = PARAMETERS[parameter["name"]]
            # As text the same bodies are sent, see `drive`; by its schema any text would do.
            operation.get("requestBody", {"content": {}})["content"].pop("text/plain", None)
    return schemathesis.openapi.from_dict(document)


def _form(schema: dict[str, Any], form: str) -> None:
    """Say it of the string, whether it may be null or stands in a list."""
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    schema.get("items", schema)["format"] = form
