"""The load that alarms are on people: how many a day, which stand, which chatter, which rules raise most."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from owtrend.quality.alarms.alarm import Alarm, Kind

__all__ = ["MOST_A_DAY", "Load", "load_of"]

MOST_A_DAY = 150  # alarms that people who run control systems can act on
BUSIEST = 10
_DAY, _HOUR = 86400 * 10**9, 3600 * 10**9
_CHATTERS = 3  # times that one fires within an hour


@dataclass(frozen=True)
class Load:
    """How many alarms people get.

    Parameters
    ----------
    alarms
        That fired.
    days
        Of data, of 24 hours each.
    most
        In any day of 24 hours.
    standing
        On for more than a day, the longest first.
    chattering
        What fires three times and more within an hour: rule, subsystem, histogram, and how many alarms it raised.
    busiest
        Rules that raise most: name and how many.
    """

    alarms: int
    days: float
    most: int
    standing: tuple[Alarm, ...]
    chattering: tuple[tuple[str, str, str, int], ...]
    busiest: tuple[tuple[str, int], ...]

    @property
    def per_day(self) -> float:
        """Alarms in a day of data; NaN without data."""
        return self.alarms / self.days if self.days else float("nan")

    @property
    def bearable(self) -> bool:
        """True if no day has more than people can act on."""
        return max(self.most, self.per_day if self.days else 0) <= MOST_A_DAY


def load_of(alarms: Iterable[Alarm], time: int) -> Load:
    """The load of alarms that fired in ``time`` [ns] of data."""
    fired = sorted((alarm for alarm in alarms if alarm.fired is not None), key=lambda alarm: (alarm.fired, alarm.id))
    times = [alarm.fired or 0 for alarm in fired]
    standing = [alarm for alarm in fired if _length(alarm) > _DAY]
    counts = Counter(alarm.subject.source for alarm in fired)
    by_subject: dict[tuple[str, str, str], list[int]] = {}
    for alarm in (alarm for alarm in fired if alarm.subject.kind is Kind.RULE):
        subject = alarm.subject.source, alarm.subject.subsystem, alarm.subject.histogram
        by_subject.setdefault(subject, []).append(alarm.fired or 0)
    chattering = [(*subject, len(of)) for subject, of in by_subject.items() if _most_within(of, _HOUR) >= _CHATTERS]
    return Load(
        len(fired), time / _DAY, _most_within(times, _DAY),
        tuple(sorted(standing, key=lambda alarm: (-_length(alarm), alarm.id))),
        tuple(sorted(chattering, key=lambda one: (-one[3], one))),
        tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:BUSIEST]),
    )  # fmt: skip


def _length(alarm: Alarm) -> int:
    end = alarm.latest if alarm.stop is None else alarm.stop
    return end - (alarm.start if alarm.fired is None else alarm.fired)


def _most_within(times: Sequence[int], length: int) -> int:
    """The largest number of times, in order, within any interval of a length."""
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= length:
            first += 1
        most = max(most, last - first + 1)
    return most
