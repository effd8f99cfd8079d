"""Settings of trends: what of a configuration exists in a store, and a hash of what trends depend on."""

import glob
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from owtrend.config import Config, SubsystemConfig
from owtrend.errors import NotFoundError, UsageError, hint
from owtrend.model.registry import HistogramEntry, like
from owtrend.modules import Origin, origin
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.trends.reductors import DEFAULT, Kind, Reductor, parse

__all__ = [
    "added",
    "by_default",
    "changed_reductors",
    "existing",
    "kept",
    "kept_reductors",
    "named_origins",
    "own_reductors",
    "parse_stored",
    "settings_hash",
]


def existing(config: Config, reader: Reader, report: Callable[[str], None] | None = None) -> Config:
    """A configuration without what does not exist in a store; each of these is reported with the nearest name.

    Left out are subsystems, event counters, patterns that no histogram matches, and reductors; a reductor of people's
    own whose module is not loaded is left in if the store has recorded it. The rest means the same in this store: an
    exact name of a histogram is no longer read as a pattern.

    Raises
    ------
    UsageError
        If a reductor exists but is used in a way that means nothing.
    """
    say = report or (lambda _: None)
    for place, names in (("subsystems", config.subsystems), ("scores.epochs", config.scores.epochs)):
        for name in names:
            if name not in reader.registered:
                near = hint(name, reader.registered, limit=1)
                say(f"configuration, {place}: {reader.location} has no subsystem {name!r}{near}")
    subsystems = {
        name: _existing(settings, reader.subsystem(name), say)
        for name, settings in config.subsystems.items()
        if name in reader.registered
    }
    epochs = {name: runs for name, runs in config.scores.epochs.items() if name in reader.registered}
    scores = config.scores.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"subsystems": subsystems, "scores": scores})


def _existing(settings: SubsystemConfig, view: SubsystemReader, say: Callable[[str], None]) -> SubsystemConfig:
    where = f"{view.where}, configuration of {view.name}"
    counter: dict[str, Any] = {"events": settings.events, "count": settings.count}
    if settings.events is not None:
        try:
            entry = view.registry.find(settings.events, f"{where}, events")
            counting = parse(settings.count)
        except NotFoundError as error:
            say(_located(error, where, "count"))
            counter = {"events": None, "count": SubsystemConfig().count}
        else:
            if counting.kind.custom or counting.other or not counting.fits(entry.first):
                raise UsageError(f"{where}, count: reductor {settings.count!r} has no meaning for {settings.events}")
            counting.require_bins(entry.first.axes)
    known = [entry.name for entry in view.registry.histograms.values()]
    reductors: dict[str, list[str]] = {}
    for pattern, names in settings.reductors.items():
        if not any(like(known, pattern)):
            say(f"{where}, reductors: no histogram matches {pattern!r}{hint(pattern, known, limit=1)}")
        elif usable := [name for name in names if _exists(name, view, where, say)]:
            exact = glob.escape(pattern) if pattern in known else pattern
            reductors[exact] = [*reductors.get(exact, ()), *usable]
    return settings.model_copy(update={**counter, "reductors": reductors})


def _exists(name: str, view: SubsystemReader, where: str, say: Callable[[str], None]) -> bool:
    try:
        if other := parse_stored(view, name).other:
            view.registry.find(other, f"{where}, reductors, {name}")
    except NotFoundError as error:
        say(_located(error, where, "reductors"))
        return False
    return True


def _located(error: NotFoundError, where: str, key: str) -> str:
    return str(error) if str(error).startswith(where) else f"{where}, {key}: {error}"


def parse_stored(view: SubsystemReader, name: str) -> Reductor:
    """The reductor of a name, as `owtrend.trends.reductors.parse`.

    A reductor of people's own whose module is not loaded here stands for its stored values, if there are any.
    """
    try:
        return parse(name)
    except NotFoundError:
        if name not in view.own_reductors:
            raise
    module = view.own_reductors[name].module

    def unavailable(_: object) -> NoReturn:
        raise NotFoundError(
            f"{view.where}: reductor {name!r} is not stored of all that was asked for, and its module {module!r} is "
            "not loaded; import it if you trust it, or name it under `modules` in a file for --config"
        )

    return Reductor(name, Kind(unavailable, per_axis=False, custom=True))


def _available(names: list[str]) -> Iterator[Reductor]:
    for name in names:
        try:
            yield parse(name)
        except NotFoundError:  # recorded, but its module is not loaded
            continue


def kept_reductors(config: Config, subsystem: str) -> list[str]:
    """Reductors that can be computed of a subsystem: the default ones and those of an `existing` configuration."""
    settings = config.for_subsystem(subsystem)
    more = [one.name for names in settings.reductors.values() for one in _available(names)]
    if settings.events is not None:
        more.insert(0, "per_event")
    return list(dict.fromkeys([*DEFAULT, *more]))


def own_reductors(config: Config) -> dict[str, Origin]:
    """Where the reductors of people's own come from that a configuration names, by name; only of loaded modules."""
    names = [name for one in config.subsystems.values() for many in one.reductors.values() for name in many]
    return {one.name: origin(one.kind.function) for one in _available(names) if one.kind.custom}


def named_origins(config: Config, recorded: Mapping[str, Origin]) -> dict[str, Origin]:
    """Those of the ``recorded`` reductors that a configuration names."""
    names = {name for one in config.subsystems.values() for many in one.reductors.values() for name in many}
    return {name: source for name, source in recorded.items() if name in names}


def settings_hash(config: Config, view: SubsystemReader, *, recorded: bool = False) -> bytes:
    """Hash of the settings that the trends of a subsystem depend on, 8 bytes; of an `existing` configuration.

    The code of the modules is part of it: that which is loaded, else that which the store has recorded; or only that
    which is ``recorded``.
    """
    settings = config.for_subsystem(view.name)
    digest = hashlib.blake2b(settings.model_dump_json().encode(), digest_size=8)
    alone = Config(subsystems={view.name: settings})
    loaded = {} if recorded else own_reductors(alone)
    for name, source in sorted((named_origins(alone, view.own_reductors) | loaded).items()):
        digest.update(f"\n{name} {':'.join(source)}".encode())
    return digest.digest()


def changed_reductors(before: Config, now: Config, view: SubsystemReader) -> set[str] | None:
    """Reductors of a subsystem whose trends differ by the configuration, or by their code; None: all may.

    Parameters
    ----------
    before, now
        Both `existing`: that of the store, and another one.
    """
    old, new = before.for_subsystem(view.name), now.for_subsystem(view.name)
    if old.model_copy(update={"reductors": {}}) != new.model_copy(update={"reductors": {}}):
        return None
    changed = {
        name for entry in view.registry.histograms.values()
        for name in added(before, view.name, entry) ^ added(now, view.name, entry)
    }  # fmt: skip
    loaded = own_reductors(Config(subsystems={view.name: new}))
    return changed | {name for name, source in loaded.items() if view.own_reductors.get(name, source) != source}


def added(config: Config, subsystem: str, entry: HistogramEntry) -> set[str]:
    """Reductors that the configuration adds for a histogram, also those whose module is not loaded."""
    settings = config.for_subsystem(subsystem)
    counted = {"per_event"} if settings.events is not None else set()
    names = settings.for_histogram(entry.name)
    return counted | {*names} | {one.name for one in _available(names)}


def by_default(name: str) -> bool:
    """True if this trend is kept of every histogram, whatever the configuration says."""
    return name in _DEFAULT


def kept(config: Config, subsystem: str, entry: HistogramEntry, name: str) -> bool:
    """True if this trend of a histogram is kept."""
    return by_default(name) or name in added(config, subsystem, entry)


_DEFAULT = frozenset(DEFAULT)
