"""What the index holds of one thread, told from its conversation. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from msgspec import Struct, UnsetType

from thumbseal.conversation import Conversation, Exchange, Rating, Turn
from thumbseal.events import Event, Message, Opinion, Thumb
from thumbseal.ids import MessageId, ThreadId
from thumbseal.index import Answer, Summary

SHORT: Final = 280  # characters of a question
LONG: Final = 600  # of an answer
COMMENTS: Final = 2_048  # the first place of what is said of messages: a thread has fewer events
# What marks a find in a snippet must not stand in a text.
MARKS: Final = ("\x02", "\x03")
_CLEAN: Final = str.maketrans(dict.fromkeys((*MARKS, "\0"), " "))

T = TypeVar("T")


class Vote(Struct, frozen=True):
    """A thumb as it is now; ``at`` (ms) is when its actor last said something of the message."""

    message: str
    actor: str
    at: int
    thumb: Thumb
    reasons: tuple[str, ...]


class Described(Struct, frozen=True):
    """A thread in the index's words; ``texts`` are its documents by their place."""

    summary: Summary
    answers: tuple[Answer, ...]
    votes: tuple[Vote, ...]
    texts: Mapping[int, str]

    @property
    def labels(self) -> Iterable[tuple[str, str]]:
        summary = self.summary
        kinds = {"tag": summary.tags, "reason": summary.reasons}
        kinds |= {"role": summary.roles, "source": summary.sources}
        return {(kind, value) for kind, values in kinds.items() for value in values}


def describe(
    thread_no: int, site: str, conversation: Conversation, events: Iterable[Event]
) -> Described:
    """A thread with at least one event; ``events`` are all of them, ``conversation`` their fold."""
    turns, ratings = conversation.turns, _spoken(conversation.ratings.values())
    by_message: dict[str, list[Rating]] = {}
    for rating in ratings:
        by_message.setdefault(rating.message, []).append(rating)
    answers = [_answer(site, conversation, *each) for each in by_message.items()]
    opinions = [rating.opinion for rating in ratings]
    times = [event.at for event in events]
    summary = Summary(
        thread_no=thread_no,
        site=site,
        thread=ThreadId(conversation.thread),
        user=conversation.user,
        tags=tuple(dict.fromkeys(conversation.tags)),
        roles=tuple(dict.fromkeys(turn.message.role for turn in turns)),
        sources=tuple(dict.fromkeys(event.source for event in events)),
        first_at=min(times),
        last_at=max(times),
        messages=len(turns),
        ups=sum(opinion.thumb == "up" for opinion in opinions),
        downs=sum(opinion.thumb == "down" for opinion in opinions),
        comments=sum(bool(opinion.comment) for opinion in opinions),
        reasons=_reasons(opinions),
        score=_lowest(opinions),
        question=_cut(_first_question(turns), SHORT),
        seq=conversation.last_seq,
    )
    return Described(summary, tuple(answers), tuple(_votes(ratings)), _texts(turns, conversation))


def said(value: T | UnsetType | None) -> T | None:
    """A field of an opinion, None where it says nothing."""
    return None if isinstance(value, UnsetType) else value


def text_of(message: Message) -> str:
    """The words of a message: its text, or those of its parts."""
    content = message.content
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in content or ())
    return "\n".join(text for text in texts if isinstance(text, str))


def clean(text: str) -> str:
    """A text that every database takes, without the signs that mark a find."""
    return text.translate(_CLEAN).encode("utf-8", "replace").decode()


def question_of(conversation: Conversation, exchange: Exchange | None) -> Turn | None:
    """What an exchange answers; a regenerated answer's question stands where it was first asked."""
    seen: set[str] = set()
    while exchange is not None and exchange.id not in seen:
        seen.add(exchange.id)
        asked = next((turn for turn in exchange.turns if turn.message.role == "user"), None)
        if asked is not None:
            return asked
        again = conversation.places.get(exchange.again or "", "")
        exchange = conversation.exchanges.get(again)
    return None


def _spoken(ratings: Iterable[Rating]) -> list[Rating]:
    """Those that still say something, in the order in which they began."""
    spoken = [each for each in ratings if _says(each.opinion)]
    return sorted(spoken, key=_began)


def _began(rating: Rating) -> int:
    return min(mark.seq for mark in rating.marks)


def _says(opinion: Opinion) -> bool:
    return said(opinion.score) is not None or any(
        said(value)
        for value in (opinion.thumb, opinion.reasons, opinion.comment, opinion.correction)
    )


def _answer(site: str, conversation: Conversation, message: str, ratings: list[Rating]) -> Answer:
    exchange = conversation.exchanges.get(conversation.places.get(message, ""))
    turns = exchange.turns if exchange else ()
    turn = next((turn for turn in turns if turn.message.message == message), None)
    question = question_of(conversation, exchange)
    opinions = [rating.opinion for rating in ratings]
    return Answer(
        site=site,
        thread=ThreadId(conversation.thread),
        message=MessageId(message),
        seq=turn.seq if turn else 0,
        source=turn.source if turn else None,
        at=max(rating.marks[-1].at for rating in ratings),
        ups=sum(opinion.thumb == "up" for opinion in opinions),
        downs=sum(opinion.thumb == "down" for opinion in opinions),
        score=_lowest(opinions),
        reasons=_reasons(opinions),
        comments=tuple(filter(None, (said(opinion.comment) for opinion in opinions))),
        corrected=any(said(opinion.correction) for opinion in opinions),
        question=_cut(text_of(question.message) if question else "", SHORT),
        text=_cut(text_of(turn.message) if turn else "", LONG),
    )


def _votes(ratings: Iterable[Rating]) -> Iterable[Vote]:
    for rating in ratings:
        thumb: Thumb | None = said(rating.opinion.thumb)
        if thumb:
            reasons = _reasons([rating.opinion])
            yield Vote(rating.message, rating.actor, rating.marks[-1].at, thumb, reasons)


def _texts(turns: list[Turn], conversation: Conversation) -> Mapping[int, str]:
    """The documents. A place never changes, so that what is new is all there is to write."""
    texts = {place: text_of(turn.message) for place, turn in enumerate(turns)}
    ratings = sorted(conversation.ratings.values(), key=_began)
    for place, rating in enumerate(ratings, COMMENTS):
        words = (said(rating.opinion.comment), said(rating.opinion.correction))
        texts[place] = "\n".join(word for word in words if word)
    return {place: clean(text) for place, text in texts.items() if text}


def _reasons(opinions: Iterable[Opinion]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for one in opinions for each in said(one.reasons) or ()))


def _lowest(opinions: Iterable[Opinion]) -> float | None:
    scores = (said(opinion.score) for opinion in opinions)
    return min((score for score in scores if score is not None), default=None)


def _first_question(turns: list[Turn]) -> str:
    asked = (turn for turn in turns if turn.message.role == "user")
    turn = next(asked, turns[0] if turns else None)
    return text_of(turn.message) if turn else ""


def _cut(text: str, length: int) -> str:
    text = clean(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
