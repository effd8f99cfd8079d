"""Trends that plug-ins declare, as reductors of the histograms that a store holds."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from glob import escape

from owtrend.config import Config
from owtrend.detectors.derive import near_ranges, with_ranges
from owtrend.detectors.plugins import detectors
from owtrend.detectors.protocol import Detector
from owtrend.errors import OwtrendError
from owtrend.model.registry import HistogramEntry
from owtrend.store.reader import Reader
from owtrend.trends.reductors import DEFAULT, parse

__all__ = ["kept_trends", "with_trends"]


def kept_trends(detector: Detector, entries: Iterable[HistogramEntry]) -> dict[str, list[str]]:
    """By displayed name the reductors that a detector wants to be kept of each of some histograms."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for declared in detector.trends:
            if not any(fnmatchcase(entry.name, pattern) for pattern in declared.patterns):
                continue
            for name in declared.reductors:
                try:
                    ranges = near_ranges(entry.first.axes, declared.ranges)
                    single = parse(with_ranges(parse(name), ranges))
                    single.require_bins(entry.first.axes)
                except (IndexError, OwtrendError):  # of another number of axes than the declaration expects
                    continue
                if single.fits(entry.first):
                    found.setdefault(entry.name, []).append(single.name)
    return found


def with_trends(config: Config, reader: Reader) -> Config:
    """A configuration with the trends that plug-ins declare added to its own; the same one if it has them all.

    Trends that `owtrend compute` keeps of every histogram are not added.
    """
    subsystems = dict(config.subsystems)
    for name, known in detectors().items():
        if name not in reader.subsystems or not known.trends:
            continue
        settings = config.for_subsystem(name)
        reductors = {pattern: list(names) for pattern, names in settings.reductors.items()}
        for histogram, names in kept_trends(known, reader.subsystem(name).registry.histograms.values()).items():
            has = {*settings.for_histogram(histogram), *DEFAULT}
            if more := [one for one in names if one not in has]:
                reductors.setdefault(escape(histogram), []).extend(more)
        if reductors != settings.reductors:
            subsystems[name] = settings.model_copy(update={"reductors": reductors})
    return config if subsystems == config.subsystems else config.model_copy(update={"subsystems": subsystems})
