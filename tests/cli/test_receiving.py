"""What `owtrend status` says of a receiver; its file may hold anything."""

import pytest

from owtrend.cli.receiving import receiver_words

STATE = {
    "state": "receiving", "alive": True, "age": 1.2, "queue": {"payloads": 3, "bytes": 2e6, "oldest_seconds": 130},
    "counts": {"stored": 1200, "quarantined": 1}, "per_minute": {"stored": 3.0},
    "subsystems": {"EMC": {"run": 300000, "ongoing": True, "age_seconds": 4}},
    "seconds_to": {"commit": {"p50": 0.1, "p99": 0.25}},
}  # fmt: skip


def test_a_receiver_that_is_well():
    assert list(receiver_words(STATE)) == [
        "receiver: receiving, heartbeat 1 s ago",
        "  3 payloads of 2.0 MB wait for the store, the oldest for 2 min",
        "  since its start: 1,200 stored, 1 quarantined; 3 stored a minute",
        "  EMC: run 300000 is on; the last snapshot came 4 s before the heartbeat",
        "  from arrival to commit: 0.10 s, one of a hundred takes more than 0.25 s",
    ]


def test_a_receiver_without_a_heartbeat_is_named_first():
    (first, *_) = receiver_words(STATE | {"alive": False, "age": 7300})
    assert first.startswith("receiver: NO HEARTBEAT for 2 h")


@pytest.mark.parametrize("nonsense", [None, 3, "text\x1b[2J", [1], {"a": {"b": "\x1b"}}, float("inf"), 10**400])
def test_no_content_of_the_file_is_an_error_or_reaches_the_terminal(nonsense):
    for name in STATE:
        lines = "\n".join(receiver_words(STATE | {name: nonsense}))
        assert "\x1b" not in lines
