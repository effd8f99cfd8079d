"""One user's session: the view, kept consistent with what the archive holds, and what is loaded for it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

import xarray as xr

import owtrend
from dashboards.state import interval, load, region
from dashboards.state.findings import findings, kept_findings
from dashboards.state.load import Loaded
from dashboards.state.news import News, news
from dashboards.state.reference import slice_reference
from dashboards.state.view import View, from_address
from owtrend.detectors import detector
from owtrend.detectors.options import option_text
from owtrend.display import printable
from owtrend.errors import NotFoundError, UsageError
from owtrend.model.histogram import display_name
from owtrend.times import parse_interval

__all__ = ["MOST", "Session"]

MOST = 7  # further runs; more colours would look alike
_DIGITS = 19  # from here on a number need not fit an int64, as runs do
_LONGEST = 100  # characters that a note repeats of what was asked for
_VIEW, _LOADED = ([field.name for field in fields(kind)] for kind in (View, Loaded))


class Session:
    """A view of one archive, and what is loaded for it. They change together, only in `choose` and `follow`.

    The archive stays the same until `follow` gives the session a newer state of it.

    Attributes
    ----------
    news
        What the last newer state added, until the user has seen it.
    asked
        The histograms among which the user has to choose, where an address fits several.
    notes
        What could not be shown as asked for, and what is shown instead.
    complaints
        What is wrong with a text somebody typed, by its field: ``reductor``, ``region`` or ``options``.
    """

    def __init__(self, archive: owtrend.Archive, **wanted: Any) -> None:
        self.archive = archive
        self.view, self.loaded = View(), Loaded()
        self.notes: list[str] = []
        self.complaints: dict[str, str] = {}
        self.news: News | None = None
        self.asked: tuple[str, ...] = ()
        self._usual_log = False  # of the histogram shown, by its plug-in
        self._watchers: list[tuple[Callable[[set[str]], None], frozenset[str]]] = []
        self.choose(**wanted)

    @classmethod
    def from_address(cls, archive: owtrend.Archive, query: Mapping[str, str]) -> "Session":
        """A session that starts with the view in an address; what the address lacks is chosen for the user."""
        return cls(archive, **from_address(query))

    @property
    def subsystems(self) -> list[str]:
        """The subsystems in the run."""
        return [] if self.view.run is None else load.subsystems(self.archive, self.view.run)

    @property
    def groups(self) -> list[str]:
        """Groups of the histograms, in the order of the plug-in; one alone says nothing."""
        table = self.loaded.histograms
        return [] if self.view.run is None or not len(table) else list(dict.fromkeys(table.attrs["groups"]))

    @property
    def reductors(self) -> list[str]:
        """The reductors that are stored for the histogram."""
        return self.loaded.reductors(self.view.histogram)

    @property
    def runs(self) -> list[int]:
        """The run, and those of the others that have the histogram, sorted."""
        return sorted([*([] if self.view.run is None else [self.view.run]), *self.loaded.further])

    @property
    def ranges(self) -> region.Ranges:
        """The region as numbers."""
        content = self.loaded.cumulative
        return {} if content is None else region.ranges(self.view.region, content, self.view.axes)

    def watch(self, follow: Callable[[set[str]], None], names: Collection[str] = (*_VIEW, *_LOADED, "notes")) -> None:
        """Call ``follow`` once after each change of any of ``names``, with the names that changed.

        Names are the fields of `View` and `Loaded`, ``notes``, ``complaints``, ``news`` and ``archive``.
        """
        self._watchers.append((follow, frozenset(names)))

    def choose(self, **changes: Any) -> None:
        """Change part of the view, and with it whatever no longer fits.

        Values may be texts as in an address; None and empty texts let the session choose. What the archive does not
        have is replaced by something near, and `notes` says so. A typed text that means nothing changes nothing, and
        `complaints` says why.
        """
        self._update(changes, self.loaded)

    def follow(self, archive: owtrend.Archive) -> None:
        """Go on with a newer state of the same store, and keep the view.

        What reaches to the end of a run goes on with it; an interval that ends before stays where it is.
        """
        before, loaded = self.archive, self.loaded
        if archive.version == before.version:
            return
        self.archive = archive
        self._update({}, Loaded(), {"archive"})
        self.announce(news(before, archive, self.view, loaded, self.loaded))

    def announce(self, found: News | None) -> None:
        """Show what is new. A new run is announced until the user looks at it, or a newer one begins."""
        if found is not None and ("run" in found.choice or self.news is None or "run" not in self.news.choice):
            self._set_news(found)

    def _set_news(self, found: News | None) -> None:
        if found != self.news:
            self.news = found
            self._call({"news"})

    def _update(self, changes: Mapping[str, Any], loaded: Loaded, changed: Collection[str] = ()) -> None:
        """Change part of the view. What is in ``loaded`` is not read again."""
        archive, view, notes = self.archive, self.view, list[str]()
        if load.runs(archive).empty:
            how = f"owtrend ingest FOLDER --store {archive.location}"
            self._show(View(), Loaded(), [f"This store holds no runs yet. Fill it with: {how}"], {}, changed)
            return
        wanted = {name: getattr(view, name) for name in _VIEW} | dict(changes)
        wanted = {
            name: (value if name == "histogram" else value.strip()) or None if isinstance(value, str) else value
            for name, value in wanted.items()
        }
        run = _one_of("run", _number(wanted["run"]), load.runs(archive).index.tolist()[::-1], "the store", notes)
        subsystem = _one_of("subsystem", wanted["subsystem"], load.subsystems(archive, run), f"run {run}", notes)
        same = (run, subsystem) == (view.run, view.subsystem)
        table = loaded.histograms if same and len(loaded.histograms) else load.histograms(archive, run, subsystem)
        where = f"{subsystem} of run {run}"
        if wanted["histogram"] and not {wanted["histogram"]} & {*table.index, *map(display_name, table["path"])}:
            wanted["histogram"] = wanted["histogram"].strip() or None
        self.asked = load.namesakes(table, wanted["histogram"])
        if self.asked:
            histogram, cumulative = wanted["histogram"], None
            name = printable(histogram, _LONGEST)
            notes.append(f"{name} is the name of {len(self.asked)} histograms in {where}. Choose one:")
        else:
            histogram = _one_of("histogram", wanted["histogram"], table.index.tolist(), where, notes)
            cumulative = loaded.cumulative
        further = loaded.further
        if not histogram:
            cumulative = None
            notes.append(f"There are no histograms in {where}.")
        elif not self.asked and not (same and histogram == view.histogram and cumulative is not None):
            path = table["path"].iloc[table.index.tolist().index(histogram)]
            cumulative = load.kept(load.histogram(archive, run, subsystem, path, notes), self.loaded.cumulative)
        others = self._others(wanted["others"], run, notes)
        if cumulative is None:
            further = {}
        else:
            known = further if (subsystem, histogram) == (view.subsystem, view.histogram) else {}
            further = {
                number: load.kept(found, self.loaded.further.get(number))
                for number, found in load.histogram_in(archive, others, cumulative, known, notes).items()
            }
        if run != view.run and view.run is not None:  # an interval belongs to one run
            wanted |= {"start": changes.get("start"), "stop": changes.get("stop")}
        start, stop = interval.between_snapshots(cumulative, wanted["start"], wanted["stop"], notes)
        complaints = {name: why for name, why in self.complaints.items() if name not in changes and same}
        axes, chosen_region = self._projection(cumulative, wanted, "region" in changes, complaints)
        chosen_options = self._options(subsystem, same, wanted["options"], "options" in changes, complaints)
        runs = sorted([run, *further])
        every = _length(wanted["every"], notes)
        kept_reductors = Loaded(histograms=table).reductors(histogram)
        means = [name for name in kept_reductors if name.startswith("mean_")]
        default = next(iter([*means, *kept_reductors]), "entries")
        log = self._log(cumulative, axes, subsystem, histogram, changes.get("log"))
        reductor, trend, errors = "", None, list[str]()
        if cumulative is not None:
            possible = (wanted["reductor"], view.reductor, default)
            reductor, trend = load.trend(archive, cumulative, runs, possible, every, loaded.trend, errors)
        if errors and changes.get("reductor"):
            complaints.setdefault("reductor", errors[0])
        normalised = _is_true(wanted["normalised"])
        if others and not view.others and "normalised" not in changes:
            normalised = True  # runs differ in length: only contents per entry are comparable
        pulls, reference = _is_true(wanted["pulls"]), None
        if pulls and cumulative is not None:
            reference = slice_reference(archive, cumulative, self.loaded.reference)
        found = None
        if cumulative is not None:
            found = kept_findings(findings(archive, cumulative, runs, loaded.findings), self.loaded.findings)
        if trend is not None and trend.identical(self.loaded.trend):
            trend = self.loaded.trend
        self._show(
            View(
                run=run, others=others, subsystem=subsystem, histogram=histogram, reductor=reductor, every=every,
                axes=axes, region=chosen_region, start=start, stop=stop, log=log,
                normalised=normalised, pulls=pulls, options=chosen_options,
            ),
            Loaded(table, cumulative, further, trend, found, reference), notes, complaints, changed,
        )  # fmt: skip

    def _show(
        self, view: View, loaded: Loaded, notes: list[str], complaints: dict[str, str], also: Collection[str]
    ) -> None:  # fmt: skip
        """Set a new state, and call the watchers of the names that changed."""
        changed = set(also) | {name for name in _VIEW if getattr(view, name) != getattr(self.view, name)}
        changed |= {name for name in _LOADED if not _is_same(getattr(loaded, name), getattr(self.loaded, name))}
        changed |= {"notes"} if notes != self.notes else set()
        changed |= {"complaints"} if complaints != self.complaints else set()
        self.view, self.loaded, self.notes, self.complaints = view, loaded, notes, complaints
        if self.news is not None and self.news.is_shown(view) and not also:
            self._set_news(None)
        self._call(changed)

    def _call(self, changed: set[str]) -> None:
        for follow, names in self._watchers:
            if changed & names:
                follow(changed & names)

    def _others(self, wanted: Any, run: int, notes: list[str]) -> tuple[int, ...]:
        """Further runs, as given by an address or a widget, sorted."""
        given = wanted.split(",") if isinstance(wanted, str) else (wanted or [])
        numbers = dict.fromkeys(
            _number(item.strip() if isinstance(item, str) else item) for item in given if item != ""
        )
        unknown = [number for number in numbers if number not in load.runs(self.archive).index]
        if unknown:
            notes.append(f"There is no run {printable(', '.join(map(str, unknown)), _LONGEST)} in the store.")
        found = [number for number in numbers if number not in unknown and number != run]
        if len(found) > MOST:
            notes.append(f"At most {MOST} further runs are shown: more colours would look alike.")
        return tuple(sorted(found[:MOST]))

    def _projection(
        self, cumulative: xr.Dataset | None, wanted: Mapping[str, Any], typed: bool, complaints: dict[str, str]
    ) -> tuple[str, str]:  # fmt: skip
        """Axes and region, as far as they fit the histogram."""
        axes = wanted["axes"] if wanted["axes"] in region.choices(cumulative) else ""
        if axes != self.view.axes:
            complaints.pop("region", None)
        if cumulative is None:
            return "", ""
        for text in (wanted["region"], self.view.region):
            try:
                return axes, region.region_text(region.ranges(text or "", cumulative, axes))
            except UsageError as error:
                if typed:
                    complaints.setdefault("region", str(error))
        return axes, ""

    def _log(self, cumulative: Any, axes: str, subsystem: str, histogram: str, chosen: Any) -> bool:
        """Whether contents are logarithmic: as chosen; else of another histogram as its plug-in says."""
        view = self.view
        if cumulative is None:
            return _is_true(chosen)
        another, was_usual = (subsystem, histogram) != (view.subsystem, view.histogram), view.log == self._usual_log
        if another:
            shown = len(axes) or sum(axis in cumulative.dims for axis in "xyz")
            self._usual_log = "yz"[min(shown, 2) - 1] in detector(subsystem).display(histogram).log
        if chosen is not None:
            return _is_true(chosen)
        return self._usual_log if another and was_usual else view.log

    def _options(self, subsystem: str, same: bool, text: str | None, typed: bool, complaints: dict[str, str]) -> str:
        """Options of the detector, as far as it has them; those of another subsystem are forgotten."""
        known = detector(subsystem)
        for words in (text if typed or same else None, self.view.options if same else None):
            try:
                return option_text(known, words or "")
            except (NotFoundError, UsageError) as error:
                if typed:
                    complaints.setdefault("options", str(error))
        return ""


def _is_same(value: Any, before: Any) -> bool:
    """True for an unchanged part of `Loaded`, judged by identity: comparing contents takes too long."""
    if isinstance(value, dict):
        return value.keys() == before.keys() and all(value[run] is before[run] for run in value)
    return value is before


def _one_of(kind: str, wanted: Any, known: Sequence[Any], where: str, notes: list[str]) -> Any:
    """``wanted`` if it is known, else the first known, with a note if anything was wanted."""
    if wanted in known:
        return wanted
    first = known[0] if known else ""
    if wanted is not None:
        notes.append(f"There is no {kind} {printable(wanted, _LONGEST)} in {where}; {first} is shown instead.")
    return first


def _length(every: str | None, notes: list[str]) -> str:
    """The interval of a trend's points; ``""``, with a note, if it is no length of time."""
    try:
        parse_interval(every if every not in (None, "run") else "1min")
    except UsageError as error:
        notes.append(f"{error}. Each snapshot is shown instead.")
        return ""
    return every or ""


def _number(run: Any) -> Any:
    """A run from its text; what cannot be one stays as it is, and is not found."""
    return int(run) if isinstance(run, str) and run.isdecimal() and len(run) < _DIGITS else run


def _is_true(value: Any) -> bool:
    return value in (True, "1", "true")
