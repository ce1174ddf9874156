"""The page that lists what was recorded: conversations as data in, HTML out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from thumbseal import conversation as folded
from thumbseal import events
from thumbseal.log import StoredThread

SHORT_ID: Final = 8


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one actor thinks of one message."""

    thumb: Literal["up", "down"] | None = None
    reasons: tuple[str, ...] = ()
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One entry; ``at`` in ms since the epoch, ``content`` as plain text."""

    role: str
    content: str
    at: int
    source: str
    feedback: Feedback | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """One thread's messages in their order; ``started`` in ms since the epoch."""

    thread: str
    started: int
    messages: tuple[Message, ...]

    @property
    def votes(self) -> int:
        return sum(1 for each in self.messages if each.feedback and each.feedback.thumb)


def render_recorded(conversations: Sequence[Conversation]) -> str:
    """The whole page, conversations in the order given; every text is shown as text."""
    return _template().render(
        conversations=conversations,
        messages=sum(len(each.messages) for each in conversations),
        votes=sum(each.votes for each in conversations),
    )


def view(stored: StoredThread) -> Conversation:
    """A thread of the log as this page shows it."""
    told = folded.fold(stored.events, folded.Conversation(stored.thread))
    turns = (each for each in told.script if isinstance(each, folded.Turn))
    messages = (_message(turn, told) for turn in turns)
    return Conversation(stored.thread, stored.created_at, tuple(messages))


def _message(turn: folded.Turn, told: folded.Conversation) -> Message:
    message = turn.message
    ratings = told.ratings_of(message.message)
    feedback = _feedback(ratings[-1].opinion) if ratings else None
    return Message(message.role, _text(message), turn.at, turn.source, feedback)


def _feedback(opinion: events.Opinion) -> Feedback:
    return Feedback(opinion.thumb or None, opinion.reasons or (), opinion.comment or None)


def _text(message: events.Message) -> str:
    """What a person can read of a message: its text, and the names of all else."""
    if isinstance(message.content, str):
        return message.content
    parts = [str(part.get("text") or f"[{part.get('type')}]") for part in message.content or ()]
    calls = [f"[{call.get('type', 'call')}]" for call in message.tool_calls or ()]
    return "\n".join([*parts, *calls])


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("thumbseal.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": _clock, "day": _day, "iso": _iso, "short": _short}
    return environment.get_template("recorded.html.jinja")


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _clock(ms: int) -> str:
    return f"{_moment(ms):%H:%M:%S}"


def _day(ms: int) -> str:
    return f"{_moment(ms).day} {_moment(ms):%B %Y, %H:%M} UTC"


def _iso(ms: int) -> str:
    return _moment(ms).isoformat(timespec="milliseconds")


def _short(thread: str) -> str:
    return thread[:SHORT_ID]
