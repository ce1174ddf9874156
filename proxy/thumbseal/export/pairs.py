"""Preference pairs: of two answers to the same question, the one that people prefer.

In the conversational form that trainers such as TRL read: ``prompt``, ``chosen`` and ``rejected``
are lists of messages. Two things make a pair: somebody wrote a correction, which is chosen over
what was said; or an answer was regenerated, and the thumbs tell the two apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final

import msgspec

from thumbseal.conversation import Conversation, Exchange, Rating, Turn
from thumbseal.events import Event, Json
from thumbseal.index.describing import question_of, said, text_of

Preference = tuple[str, Turn | str, Turn]
TRUSTED: Final = "backend"


def to_pairs(
    site: str, conversation: Conversation, events: Iterable[Event], *, include_browser: bool
) -> Iterator[bytes]:
    """The pairs of a conversation, a line each.

    A page could have written what it recorded: only with ``include_browser`` do its answers and
    corrections make pairs. What a user asked is hers to say, wherever it was recorded.
    """
    trusted = {event.seq for event in events if include_browser or event.source == TRUSTED}
    exchanges = conversation.exchanges.values()
    asked = [(each, question_of(conversation, each)) for each in exchanges]
    answers: defaultdict[int, list[Turn]] = defaultdict(list)  # by the seq of their question
    for exchange, question in asked:
        if question and exchange.answer and exchange.answer.seq in trusted:
            answers[question.seq].append(exchange.answer)
    for exchange, question in asked:
        if question is None:
            continue
        preferences = list(_corrected(conversation, exchange.answer, trusted))
        if question in exchange.turns:
            preferences += _regenerated(conversation, answers[question.seq])
        prompt = _prompt(conversation, question) if preferences else []
        if all(turn.message.role == "user" or turn.seq in trusted for turn in prompt):
            for kind, chosen, rejected in preferences:
                yield _line(site, conversation, kind, prompt, chosen, rejected)


def _corrected(
    conversation: Conversation, answer: Turn | None, trusted: set[int]
) -> Iterator[Preference]:
    """Pairs of an answer and what somebody says that it should have been."""
    if answer is None or answer.seq not in trusted:
        return
    for rating in conversation.ratings_of(answer.message.message):
        correction = said(rating.opinion.correction)
        if not correction or correction == text_of(answer.message):
            continue
        if _correcting(rating) in trusted:
            yield "corrected", correction, answer


def _correcting(rating: Rating) -> int:
    """The event that the correction of a rating comes from."""
    return [mark.seq for mark in rating.marks if said(mark.opinion.correction)][-1]


def _regenerated(conversation: Conversation, answers: Sequence[Turn]) -> Iterator[Preference]:
    """Pairs of the answers to one question, where the thumbs say which is the better one."""
    for one, other in combinations(answers, 2):
        difference = _liking(conversation, one) - _liking(conversation, other)
        if difference and text_of(one.message) != text_of(other.message):
            better, worse = (one, other) if difference > 0 else (other, one)
            yield "regenerated", better, worse


def _liking(conversation: Conversation, turn: Turn) -> int:
    worth = {"up": 1, "down": -1}
    ratings = conversation.ratings_of(turn.message.message)
    return sum(worth.get(said(rating.opinion.thumb) or "", 0) for rating in ratings)


def _prompt(conversation: Conversation, question: Turn) -> list[Turn]:
    """What had been said when a question was asked, with the question at the end. What was asked or
    answered anew before that stands without what it replaced."""
    path: list[Turn] = []
    for exchange in conversation.exchanges.values():
        is_home = question in exchange.turns
        path = _without_replaced(path, exchange)
        path += [
            turn
            for turn in exchange.script
            if turn.seq <= question.seq and (turn.asks or not is_home)
        ]
        if is_home:
            break
    return [turn for turn in path if (turn.asks or turn.answers) and text_of(turn.message)]


def _without_replaced(path: list[Turn], exchange: Exchange) -> list[Turn]:
    """The path up to where an exchange leaves it: before an edited question or an answer that was
    given anew, after a question that was answered again."""
    ids = [turn.message.message for turn in path]
    if exchange.again not in ids or not exchange.turns:
        return path
    place = ids.index(exchange.again)
    keeps = path[place].asks and not exchange.turns[0].asks
    return path[: place + keeps]


def _line(
    site: str,
    conversation: Conversation,
    kind: str,
    prompt: Sequence[Turn],
    chosen: Turn | str,
    rejected: Turn,
) -> bytes:
    text = chosen if isinstance(chosen, str) else text_of(chosen.message)
    pair = {
        "prompt": [_said(turn) for turn in prompt],
        "chosen": [{"role": "assistant", "content": text}],
        "rejected": [_said(rejected)],
        "kind": kind,
        "site": site,
        "thread": conversation.thread,
        "message": rejected.message.message,
    }
    return msgspec.json.encode(pair) + b"\n"


def _said(turn: Turn) -> Json:
    return {"role": turn.message.role, "content": text_of(turn.message)}
