"""The state of a receiver in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from owtrend.display import printable
from owtrend.model.wording import plural

__all__ = ["receiver_words"]


def receiver_words(state: Mapping[str, Any]) -> Iterator[str]:
    """Lines on a receiver, from what it wrote last; what makes no sense in that is left out."""
    what, age = printable(str(state.get("state", "unknown")), 300), state.get("age")
    if what == "stopped":
        yield f"receiver: stopped {_seconds(age)} ago"
    elif state.get("alive"):
        yield f"receiver: {what}, heartbeat {_seconds(age)} ago"
    else:
        yield f"receiver: NO HEARTBEAT for {_seconds(age)}; before that: {what}. Start `owtrend receive` again"
    queue, counts, rates = (_mapping(state.get(name)) for name in ("queue", "counts", "per_minute"))
    if queue.get("payloads"):
        waiting = f"{plural(int(_number(queue['payloads'])), 'payload')} of {_number(queue.get('bytes')) / 1e6:,.1f} MB"
        yield f"  {waiting} wait for the store, the oldest for {_seconds(queue.get('oldest_seconds'))}"
    if counts:
        words = (
            f"{_number(count):,.0f} {printable(str(name), 60)}" for name, count in counts.items() if _number(count)
        )
        yield f"  since its start: {', '.join(words) or 'nothing'}; {_number(rates.get('stored')):g} stored a minute"
    for name, one in _mapping(state.get("subsystems")).items():
        fields = _mapping(one)
        on = "is on" if fields.get("ongoing") and state.get("alive") else "is over, or nothing more comes"
        last = f"the last snapshot came {_seconds(fields.get('age_seconds'))} before the heartbeat"
        yield f"  {printable(str(name), 100)}: run {_number(fields.get('run')):.0f} {on}; {last}"
    for name, quantiles in _mapping(state.get("seconds_to")).items():
        values = _mapping(quantiles)
        p50, p99 = (f"{_number(values.get(one)):.2f} s" for one in ("p50", "p99"))
        yield f"  from arrival to {printable(str(name), 60)}: {p50}, one of a hundred takes more than {p99}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else 0.0


def _seconds(value: object) -> str:
    seconds = _number(value)
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
