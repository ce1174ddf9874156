"""The bot quotes what stands in the documentation, says where, and admits what it lacks."""

import pytest

from thumbseal.demo.bot import SUGGESTIONS, Bot, excerpt, stream
from thumbseal.demo.documentation import Passage, pages, passages, read, root
from thumbseal.demo.ranking import Ranking, terms

MARKDOWN = """# Manual

[![build](badge.svg)](ci)

<picture><img src="shot.png"></picture>

Words before
any section.

## Keys

Rotate a [key](keys.md) yearly:

```sh
# not a heading
rotate --key
```

- first item
  goes on
- second

| a | table |
| --- | --- |

## Empty

### Deep

Text.
"""


def test_a_page_becomes_its_passages() -> None:
    """Headings cut a page; lines join, links lose their targets, code stays, tables go."""
    assert list(passages("manual.md", MARKDOWN)) == [
        Passage("Manual", "manual.md", "Manual", ("Words before any section.",)),
        Passage(
            "Manual",
            "manual.md",
            "Keys",
            (
                "Rotate a key yearly:",
                "```sh\n# not a heading\nrotate --key\n```",
                "- first item goes on\n- second",
            ),
        ),
        Passage("Manual", "manual.md", "Deep", ("Text.",)),
    ]


@pytest.mark.parametrize("question", SUGGESTIONS)
def test_every_suggestion_has_an_answer(question: str) -> None:
    """What the bot suggests, it can answer."""
    assert Bot(read()).answer(question).source is not None


def test_the_page_suggests_what_the_bot_suggests() -> None:
    """The buttons of the chat page ask the bot's own suggestions."""
    html = (root() / "examples/chat/index.html").read_text(encoding="utf-8")
    assert [question for question in SUGGESTIONS if f">{question} <" not in html] == []


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("Does it use cookies?", "Privacy and cookies"),
        ("can i take back a vote", "Change or undo a vote"),
        ("how do i rotate keys", "Rotate a key"),
        ("which CSP do I need?", "Content security policy (CSP)"),
        ("Where is my data stored?", "Where the data is stored"),
        ("what is thumbseal", "What is Thumbseal"),
    ],
)
def test_a_question_finds_its_passage(question: str, heading: str) -> None:
    """Plain questions land on the passage that a reader would open."""
    source = Bot(read()).answer(question).source
    assert source is not None
    assert source.heading == heading


@pytest.mark.parametrize("question", ["", "?!", "hello", "Who won the cup in 1974?", "日本語"])
def test_what_is_not_documented_is_not_answered(question: str) -> None:
    """Without a matching passage the bot says so and suggests what it can answer."""
    answer = Bot(read()).answer(question)
    assert answer.source is None
    assert all(f"- {suggestion}" in answer.text for suggestion in SUGGESTIONS)


def test_an_answer_is_a_quotation() -> None:
    """Every block of an answer stands in the passage it names."""
    for passage in read():
        answer = Bot(read()).answer(passage.heading)
        if answer.source:
            assert set(answer.text.split("\n\n")) <= set(
                "\n\n".join(answer.source.blocks).split("\n\n")
            )


def test_a_long_passage_is_quoted_in_part() -> None:
    """From a long passage come at most three neighbouring blocks, the fitting one among them."""
    blocks = [f"Paragraph {number} {'word ' * 30}" for number in range(9)]
    blocks[5] += "needle"
    quoted = list(excerpt(blocks, "where is the needle"))
    assert quoted == blocks[5:8]


def test_code_comes_with_its_introduction() -> None:
    """A fitting piece of code is quoted together with the words before it."""
    blocks = ["Filler. " * 60, "Run this:", "```sh\nneedle\n```", "More. " * 90]
    assert list(excerpt(blocks, "needle"))[:2] == blocks[1:3]


def test_endings_do_not_matter() -> None:
    """Votes, voted and voting are the same word to the search."""
    assert len({*terms("vote votes voted voting")}) == 1


def test_a_rare_word_counts_more() -> None:
    """A text with the rare word of a question comes before one with its common word."""
    hits = Ranking(["vote here", "vote there", "vote again", "erase it"]).search("erase a vote")
    assert hits[0].place == 3


@pytest.mark.anyio
async def test_the_stream_is_the_text() -> None:
    """The streamed pieces join to exactly the text, line breaks and all."""
    for passage in read():
        text = "\n\n".join(passage.blocks)
        assert "".join([piece async for piece in stream(text, pause=0)]) == text


def test_the_pages_are_unique() -> None:
    """Each page is read once, README included."""
    assert len(set(pages().values())) == len(pages())
