"""Events: what comes in is within every limit and free of what others cannot hold, or refused."""

import json
import math
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbseal import bodies, events
from thumbseal.bodies import MAX_ASKED, MAX_WANT
from thumbseal.errors import BadRequest
from thumbseal.events import (
    DAY_MS,
    MAX_COMMENT,
    MAX_CONTENT,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_METADATA,
    MAX_NAME,
    MAX_REASONS,
    MAX_SCORE,
    MAX_TAG,
    MAX_TAGS,
    OLDEST_MS,
    BadEvent,
)
from thumbseal.parsing import parse_entry

MESSAGE: Final = {"type": "message", "message": "t", "role": "user", "content": "Hello"}
FEEDBACK: Final = {"type": "feedback", "message": "t", "feedback": {"thumb": "up"}}
THREAD: Final = {"type": "thread", "tags": ["a"]}
CUSTOM: Final = {"type": "custom", "name": "n"}
ABSENT: Final = object()


def entry(base: dict[str, Any], **fields: Any) -> bytes:
    """An event's JSON; a field that is ABSENT is left out."""
    whole = {"id": "e1", "at": 1, **base, **fields}
    kept = {key: value for key, value in whole.items() if value is not ABSENT}
    return json.dumps(kept, ensure_ascii=False).encode()


def opinion(**fields: Any) -> bytes:
    return entry(FEEDBACK, feedback=fields)


def nested(levels: int) -> Any:
    """A value inside that many lists."""
    return [nested(levels - 1)] if levels else 1


def sized(limit: int) -> dict[str, str]:
    """An object that takes exactly ``limit`` bytes of JSON, in characters of two bytes."""
    body = limit - len('{"k":""}')
    return {"k": "ü" * (body // 2) + "x" * (body % 2)}


GOOD: Final = {
    "a message": entry(MESSAGE),
    "a message with everything": entry(
        MESSAGE,
        name="Ada",
        tool_call_id="c1",
        reply_to="u",
        retry_of="v",
        tags=["a"],
        metadata={"k": [1, 2.5, None, True, {"x": "y"}]},
    ),
    "empty content": entry(MESSAGE, content=""),
    "null content beside tool calls": entry(MESSAGE, content=None, tool_calls=[{"id": "c1"}]),
    "parts": entry(MESSAGE, content=[{"type": "text", "text": "x"}, {"type": "image_url"}]),
    "no opinion but null": opinion(thumb=None, reasons=None, comment=None, score=None),
    "a thread's metadata": entry(THREAD, tags=ABSENT, metadata={}),
    "no tags any more": entry(THREAD, tags=[]),
    "custom": entry(CUSTOM, metadata={"a": "b"}),
    "an id of 64": entry(CUSTOM, id="a" * 64),
    "the year 1970": entry(CUSTOM, at=0),
    "the largest time": entry(CUSTOM, at=MAX_INTEGER),
    "the longest content": entry(MESSAGE, content="x" * MAX_CONTENT),
    "the longest content, in bytes": entry(MESSAGE, content="ü" * (MAX_CONTENT // 2)),
    "the largest metadata": entry(CUSTOM, metadata=sized(MAX_METADATA)),
    "the longest name": entry(CUSTOM, name="ü" * MAX_NAME),
    "all tags": entry(THREAD, tags=["ü" * MAX_TAG] * MAX_TAGS),
    "all reasons": opinion(reasons=["ü" * MAX_TAG] * MAX_REASONS),
    "the longest comment": opinion(comment="ü" * MAX_COMMENT),
    "the longest correction": opinion(correction="ü" * (MAX_CONTENT // 2)),
    "the highest score": opinion(score=MAX_SCORE),
    "the lowest score": opinion(score=-MAX_SCORE),
    "the largest number": entry(CUSTOM, metadata={"n": MAX_INTEGER}),
    "the smallest number": entry(CUSTOM, metadata={"n": -MAX_INTEGER}),
    "the deepest metadata": entry(CUSTOM, metadata={"n": nested(MAX_DEPTH - 3)}),
    "an emoji": entry(MESSAGE, content="\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}"),
    "an escaped emoji": json.dumps({"id": "e", "at": 1, **CUSTOM, "name": "👍"}).encode(),
}

BAD: Final = {
    "not an object": (b"[]", None),
    "null": (b"null", None),
    "no type": (entry(CUSTOM, type=ABSENT), "type"),
    "an unknown type": (entry(CUSTOM, type="run"), "type"),
    "two types": (b'{"type":"custom","id":"e","at":1,"name":"n","type":"thread"}', "type"),
    "no id": (entry(CUSTOM, id=ABSENT), "id"),
    "an empty id": (entry(CUSTOM, id=""), "id"),
    "an id of 65": (entry(CUSTOM, id="a" * 65), "id"),
    "an id with a line end": (entry(CUSTOM, id="a\n"), "id"),
    "an id that is not ASCII": (entry(CUSTOM, id="ü"), "id"),
    "no time": (entry(CUSTOM, at=ABSENT), "at"),
    "a time before 1970": (entry(CUSTOM, at=-1), "at"),
    "a time past 2^53": (entry(CUSTOM, at=MAX_INTEGER + 1), "at"),
    "a time with a fraction": (entry(CUSTOM, at=1.5), "at"),
    "a time as text": (entry(CUSTOM, at="1"), "at"),
    "a time that is true": (entry(CUSTOM, at=True), "at"),
    "an unknown role": (entry(MESSAGE, role="admin"), "role"),
    "a role in capitals": (entry(MESSAGE, role="User"), "role"),
    "no message token": (entry(MESSAGE, message=ABSENT), "message"),
    "no content": (entry(MESSAGE, content=ABSENT), "content"),
    "null content alone": (entry(MESSAGE, content=None), "content"),
    "null content, no calls": (entry(MESSAGE, content=None, tool_calls=[]), "content"),
    "a number as content": (entry(MESSAGE, content=1), "content"),
    "a part that is text": (entry(MESSAGE, content=["x"]), "content"),
    "a part without a type": (entry(MESSAGE, content=[{"text": "x"}]), "content"),
    "a part whose type is a number": (entry(MESSAGE, content=[{"type": 1}]), "content"),
    "a reply to itself": (entry(MESSAGE, reply_to="t"), "reply_to"),
    "content a byte too long": (entry(MESSAGE, content="x" * (MAX_CONTENT + 1)), "content"),
    "content, in bytes": (entry(MESSAGE, content="ü" * (MAX_CONTENT // 2) + "x"), "content"),
    "parts too long": (entry(MESSAGE, content=[{"type": "x" * MAX_CONTENT}]), "content"),
    "tool calls too long": (entry(MESSAGE, tool_calls=[{"a": "x" * MAX_CONTENT}]), "tool_calls"),
    "metadata too large": (entry(CUSTOM, metadata=sized(MAX_METADATA + 1)), "metadata"),
    "metadata that is a list": (entry(CUSTOM, metadata=[]), "metadata"),
    "an empty name": (entry(CUSTOM, name=""), "name"),
    "a name too long": (entry(CUSTOM, name="x" * (MAX_NAME + 1)), "name"),
    "a tag too many": (entry(THREAD, tags=["a"] * (MAX_TAGS + 1)), "tags"),
    "a tag too long": (entry(THREAD, tags=["a" * (MAX_TAG + 1)]), "tags"),
    "an empty tag": (entry(THREAD, tags=[""]), "tags"),
    "a tag that is a number": (entry(THREAD, tags=[1]), "tags"),
    "a thread event that changes nothing": (entry(THREAD, tags=ABSENT), "tags"),
    "an empty opinion": (opinion(), "feedback"),
    "an opinion that is text": (entry(FEEDBACK, feedback="up"), "feedback"),
    "an unknown thumb": (opinion(thumb="sideways"), "feedback.thumb"),
    "a thumb that is true": (opinion(thumb=True), "feedback.thumb"),
    "a reason too many": (opinion(reasons=["a"] * (MAX_REASONS + 1)), "feedback.reasons"),
    "a comment too long": (opinion(comment="x" * (MAX_COMMENT + 1)), "feedback.comment"),
    "a correction too long": (opinion(correction="x" * (MAX_CONTENT + 1)), "feedback.correction"),
    "a score too high": (opinion(score=MAX_SCORE + 1), "feedback.score"),
    "a score as text": (opinion(score="1"), "feedback.score"),
    "an unknown opinion": (opinion(stars=5), "feedback"),
    "a number past 2^53": (entry(CUSTOM, metadata={"n": MAX_INTEGER + 1}), "metadata"),
    "a number below -2^53": (entry(CUSTOM, metadata={"n": -MAX_INTEGER - 1}), "metadata"),
    "metadata too deep": (entry(CUSTOM, metadata={"n": nested(MAX_DEPTH - 2)}), "metadata"),
    "parts too deep": (entry(MESSAGE, content=[{"type": "x", "n": nested(6)}]), "content"),
    "tool calls too deep": (entry(MESSAGE, tool_calls=[{"n": nested(6)}]), "tool_calls"),
}

NUL: Final = {
    "content": entry(MESSAGE, content="a\0b"),
    "a part": entry(MESSAGE, content=[{"type": "\0"}]),
    "a part's key": entry(MESSAGE, content=[{"type": "x", "\0": 1}]),
    "tool_calls": entry(MESSAGE, tool_calls=[{"a": [{"b": "\0"}]}]),
    "name": entry(MESSAGE, name="\0"),
    "tool_call_id": entry(MESSAGE, tool_call_id="\0"),
    "a message's tags": entry(MESSAGE, tags=["\0"]),
    "a thread's tags": entry(THREAD, tags=["\0"]),
    "metadata": entry(THREAD, metadata={"a": "\0"}),
    "a custom name": entry(CUSTOM, name="\0"),
    "comment": opinion(comment="\0"),
    "correction": opinion(correction="\0"),
    "reasons": opinion(reasons=["\0"]),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_exactly_at_a_limit_is_taken(name: str) -> None:
    """A good event parses, and its stored form parses to the same again."""
    parsed = parse_entry(GOOD[name])
    stored = events.dump(parsed)
    assert events.load(stored) == parsed
    assert events.dump(events.load(stored)) == stored


@pytest.mark.parametrize("name", BAD)
def test_what_is_over_a_limit_or_of_the_wrong_type_is_refused(name: str) -> None:
    """A bad event is a BadEvent with its code, and with the field where there is one."""
    raw, field = BAD[name]
    with pytest.raises(BadEvent) as caught:
        parse_entry(raw)
    assert caught.value.code == "bad_event"
    if caught.value.field is not None:
        assert caught.value.field.startswith(field or "")


@pytest.mark.parametrize("name", NUL)
def test_no_text_with_nul_is_taken_anywhere(name: str) -> None:
    """U+0000 is refused in every place where an event holds text."""
    with pytest.raises(BadEvent):
        parse_entry(NUL[name])


@pytest.mark.parametrize("base", [MESSAGE, FEEDBACK, THREAD, CUSTOM])
@pytest.mark.parametrize(
    "field", ["seq", "source", "actor", "user", "appId", "thread", "received_at", "issued"]
)
def test_a_page_cannot_set_what_is_not_its_own(base: dict[str, Any], field: str) -> None:
    """Fields that only the server fills are refused, not ignored."""
    with pytest.raises(BadEvent, match=field):
        parse_entry(entry(base, **{field: "x"}))


@pytest.mark.parametrize(
    "raw", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 5000]
)
def test_a_number_that_json_cannot_say_is_refused(raw: bytes) -> None:
    """NaN, infinities and numbers without end are refused as score and as metadata."""
    for place in (b'"type":"custom","name":"n","metadata":{"n":%s}',
                  b'"type":"feedback","message":"t","feedback":{"score":%s}'):  # fmt: skip
        with pytest.raises(BadEvent):
            parse_entry(b'{"id":"e","at":1,' + place % raw + b"}")


@pytest.mark.parametrize("depth", [9, 100, 1_000, 30_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_a_depth_bomb_is_refused(depth: int, opening: bytes, closing: bytes) -> None:
    """However deep an event is nested, closed or not, it is refused and nothing else happens."""
    for bomb in (opening * depth + b"1" + closing * depth, opening * depth):
        with pytest.raises(BadEvent):
            parse_entry(b'{"id":"e","at":1,"type":"custom","name":"n","metadata":%s}' % bomb)


def test_of_a_key_given_twice_the_last_one_counts() -> None:
    """What was understood is written anew with one of each key, so nobody understands it else."""
    parsed = parse_entry(
        b'{"type":"custom","id":"a","id":"b","at":1,"name":"n","metadata":{"k":1,"k":2}}'
    )
    assert events.dump(parsed) == (
        b'{"type":"custom","id":"b","at":1,"name":"n","metadata":{"k":2}}'
    )


@pytest.mark.parametrize(
    ("at", "sent_at", "received_at", "expected"),
    [
        (1_000, 1_000, 1_000, 1_000),
        (10**12 - 5_000, 10**12 - 3_000, 10**12, 10**12 - 5_000),
        (10**12 - 11 * DAY_MS, 10**12 - 10 * DAY_MS, 10**12, 10**12 - DAY_MS),
        (10**12 + 10 * DAY_MS - 5, 10**12 + 10 * DAY_MS, 10**12, 10**12 - 5),
        (10**12 + DAY_MS, 10**12 + DAY_MS, 10**12, 10**12),
        (10**12 + 5, 10**12, 10**12, 10**12),
        (0, 10**12, 10**12, 10**12 - OLDEST_MS),
        (MAX_INTEGER, 0, 10**12, 10**12),
        (0, MAX_INTEGER, 10**12, 10**12 - OLDEST_MS),
    ],
)
def test_an_events_time_is_told_by_our_clock(
    at: int, sent_at: int, received_at: int, expected: int
) -> None:
    """A sender's clock may be years off; an event is never in the future nor over a week old."""
    offset = events.clock_offset(sent_at, received_at)
    assert events.corrected(at, offset, received_at) == expected


BODIES: Final[dict[str, tuple[bytes, msgspec.json.Decoder[Any]]]] = {
    "nothing": (b"", bodies.ENVELOPE),
    "not UTF-8": (b'{"sent_at":1,"events":[],"token":"\xff"}', bodies.ENVELOPE),
    "a mark of byte order": (b'\xef\xbb\xbf{"sent_at":1,"events":[]}', bodies.ENVELOPE),
    "two values": (b'{"sent_at":1,"events":[]}{}', bodies.ENVELOPE),
    "a bomb": (b"[" * 60_000, bodies.ENVELOPE),
    "a bomb inside": (b'{"sent_at":1,"events":' + b"[" * 60_000, bodies.ENVELOPE),
    "no events": (b'{"sent_at":1}', bodies.ENVELOPE),
    "no time": (b'{"events":[]}', bodies.ENVELOPE),
    "too many wanted": (b'{"sent_at":1,"events":[],"want":%d}' % (MAX_WANT + 1), bodies.ENVELOPE),
    "fewer than none wanted": (b'{"sent_at":1,"events":[],"want":-1}', bodies.ENVELOPE),
    "a token too long": (b'{"sent_at":1,"events":[],"token":"%s"}' % (b"x" * 513), bodies.ENVELOPE),
    "an unknown field": (b'{"sent_at":1,"events":[],"site":"x"}', bodies.ENVELOPE),
    "an empty site": (b'{"site":""}', bodies.OPENING),
    "an empty id": (b'{"site":"s","id":""}', bodies.OPENING),
    "an id too long": (b'{"site":"s","id":"%s"}' % (b"x" * 129), bodies.OPENING),
    "a lone surrogate": (rb'{"site":"s","id":"\ud800"}', bodies.OPENING),
    "an unknown policy": (b'{"site":"s","policy":{}}', bodies.OPENING),
    "no messages": (b"{}", bodies.QUESTION),
    "too many": (json.dumps({"messages": [""] * (MAX_ASKED + 1)}).encode(), bodies.QUESTION),
    "a number": (b'{"messages":[1]}', bodies.QUESTION),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_a_bad_request(name: str) -> None:
    """Whatever is wrong with a request's body, the error is a BadRequest that says so."""
    raw, decoder = BODIES[name]
    with pytest.raises(BadRequest):
        bodies.parse_body(raw, decoder)


@pytest.mark.parametrize(
    "lone", [r"\ud83d", r"\udc4d", r"\ud83d\ud83d", r"\udc4d\ud83d", r"\uD83dx"]
)
def test_a_lone_surrogate_spoils_its_own_event_only(lone: str) -> None:
    """A text cut inside an emoji is refused; the events beside it are not."""
    custom = '{"type":"custom","id":"e","at":1,"name":"%s"}'
    names = [r"\ud83d\udc4d", lone, r"\\ud83d", "plain"]
    body = '{"sent_at":1,"events":[' + ",".join(custom % name for name in names) + "]}"
    raws = bodies.parse_envelope(body.encode()).events
    assert [_name(raw) for raw in raws] == ["👍", None, r"\ud83d", "plain"]


def _name(raw: msgspec.Raw) -> str | None:
    try:
        parsed = parse_entry(raw)
    except BadEvent:
        return None
    assert isinstance(parsed, events.Custom)
    return parsed.name


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)
FIELDS: Final = ("id", "at", "type", "message", "role", "content", "feedback", "tags", "metadata",
                 "name", "tool_calls", "reply_to", "retry_of", "thumb")  # fmt: skip


@given(
    base=st.sampled_from([MESSAGE, FEEDBACK, THREAD, CUSTOM]),
    fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_any_event_is_taken_whole_or_refused_as_bad(
    base: dict[str, Any], fields: dict[str, Any]
) -> None:
    """Whatever stands in its fields, an event is refused as bad, or stored as it can be read."""
    raw = json.dumps({"id": "e1", "at": 1, **base, **fields}).encode()
    try:
        parsed = parse_entry(raw)
    except BadEvent:
        return
    stored = events.dump(parsed)
    assert events.load(stored) == parsed
    assert b"\\u0000" not in stored


@given(st.binary(max_size=300))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_any_bytes_are_a_bad_event_and_a_bad_request(raw: bytes) -> None:
    """Bytes by chance are no event and no body; both say so, and nothing else is raised."""
    with pytest.raises(BadEvent):
        parse_entry(raw)
    with pytest.raises(BadRequest):
        bodies.parse_envelope(raw)


@given(st.lists(json_values, max_size=4), st.integers(0, 2**53 - 1))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_a_body_gives_its_events_back_as_they_came(values: list[Any], sent_at: int) -> None:
    """Whatever the events are, the body around them is read, and each of them is what was sent."""
    texts = [json.dumps(value, allow_nan=False) for value in _finite(values)]
    body = f'{{"sent_at": {sent_at}, "events": [{", ".join(texts)}]}}'
    read = bodies.parse_envelope(body.encode())
    assert read.sent_at == sent_at
    assert [bytes(raw).decode() for raw in read.events] == texts


def _finite(value: Any) -> Any:
    """The same without NaN and infinities, which are not JSON."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_finite(inner) for inner in value]
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case _:
            return value
