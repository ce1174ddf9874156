"""A person's last word wins, whatever the network and the clocks do."""

from pathlib import Path

import pytest

from tests.proxy import START, Clock, make_settings, running, voted


@pytest.mark.parametrize("off", [0, -20, 20, -3_600, 3_600, 86_400 * 365])
def test_a_slow_request_does_not_make_its_vote_later(tmp_path: Path, off: int) -> None:
    """A vote that was 3 s on its way loses to the one clicked a second after it, sent when the
    first was answered, also where the browser's clock is off."""
    clock = Clock()
    with running(make_settings(tmp_path), clock) as proxy:
        message = proxy.open()["messages"][0]

        def vote(thumb: str, clicked: float, sent: float, arrived: float) -> None:
            clock.now = START + arrived
            at, sent_at = (int((START + off + moment) * 1000) for moment in (clicked, sent))
            event = proxy.event({**voted(message, thumb=thumb), "at": at})
            answer = proxy.post("/v1/events", {"sent_at": sent_at, "events": [event]})
            assert answer.json()["results"] == [{"status": "accepted"}]

        vote("up", clicked=1, sent=1, arrived=4)
        vote("down", clicked=2, sent=4.05, arrived=4.1)
        (state,) = proxy.feedback(message["token"])
        assert state["feedback"] == {"thumb": "down"}


def test_a_vote_from_an_offline_browser_does_not_undo_a_later_one(tmp_path: Path) -> None:
    """What was clicked first but arrives an hour later changes nothing."""
    clock = Clock()
    with running(make_settings(tmp_path), clock) as proxy:
        message = proxy.open()["messages"][0]
        clock.now = START + 600
        proxy.record(None, voted(message, thumb="down"))
        clock.now = START + 3_600
        early = {**voted(message, thumb="up"), "at": int((START + 60) * 1000)}
        proxy.record(None, early)
        (state,) = proxy.feedback(message["token"])
        assert state["feedback"] == {"thumb": "down"}
