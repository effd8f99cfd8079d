"""Archive: the histograms, trends and findings of a store for notebooks, labelled and read when needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd

from owtrend.display import Display, Displayed
from owtrend.errors import NotFoundError, UsageError
from owtrend.histograms.listing import (
    carried_table,
    changes_table,
    histograms_table,
    kinds_table,
    not_stored_table,
    quarantine_table,
    runs_table,
    select_histograms,
    select_runs,
)
from owtrend.model.histogram import Path
from owtrend.model.wording import plural
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store
from owtrend.times import parse_interval

# Each method imports its wing, so that nobody waits for one that is not used: all of them take longer than pandas.
if TYPE_CHECKING:
    import xarray as xr

    from owtrend.comparison.reference import Reference
    from owtrend.conditions.stored import Conditions
    from owtrend.config import Config, RuleConfig
    from owtrend.detectors.hot_channels import EventsOfRun
    from owtrend.detectors.listing import Home
    from owtrend.histograms.subsystem_slice import TimeSlice
    from owtrend.learned.shape import Learned
    from owtrend.quality.rules.readings import Conditions as ConditionLookup

__all__ = ["Archive", "open"]

_log = logging.getLogger(__name__)


def open(location: str | FilePath, as_of: str | datetime | None = None) -> Archive:  # noqa: A001 - owtrend.open
    """Open the archive in a store, as it is now, or as of a version, tag or time.

    Raises
    ------
    StoreError
        If there is no store at ``location``.
    """
    return Archive(Store.open(location), as_of)


class Archive(Displayed):
    """All histograms of all runs of a store, in one state; `latest` returns the newest state."""

    def __init__(self, store: Store, as_of: str | datetime | None = None) -> None:
        self._store = store
        self._reader: Reader = store.reader(as_of)
        self._counters: dict[tuple[str, int], EventsOfRun] = {}  # of events, by subsystem and run

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def version(self) -> str:
        """Identity of the state that this archive shows."""
        return self._reader.version

    def latest(self) -> Archive:
        """The newest committed state, as a new archive; this archive if nothing is new."""
        return self if self._store.version == self.version else Archive(self._store)

    def stored(self, subsystem: str) -> SubsystemReader:
        """The arrays of a subsystem as they lie in the store, for tests and tools; they may change between releases.

        Raises
        ------
        NotFoundError
            If there is no such subsystem.
        """
        return self._reader.subsystem(subsystem)

    def _display(self) -> Display:
        if not self.subsystems:
            return Display(f"{self.location}, empty", {}, [f"!owtrend ingest FOLDER --store {self.location}"])
        name, runs = self.subsystems[0], self.runs.index[self.runs["snapshots"] > 0]
        registries = {name: self._reader.subsystem(name).registry.histograms for name in self.subsystems}
        first = next(iter(registries[name].values())).name
        title = f"{self.location}, {plural(len(runs), 'run')}, {runs[0]} to {runs[-1]}"
        return Display(
            title,
            {name: plural(len(histograms), "histogram") for name, histograms in registries.items()},
            ["archive.runs", f"archive.histograms({name!r})",
             f"archive.histogram({name!r}, {first!r}, run={runs[-1]})",
             f"archive.trend({name!r}, {first!r}, 'entries')", "archive.incidents()  # what is wrong, and why"],
        )  # fmt: skip

    @property
    def subsystems(self) -> tuple[str, ...]:
        return self._reader.subsystems

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Indexed by run number, sorted: start, stop (UTC), duration, snapshots, unreadable files, subsystems, mode.

        A run with nothing but unreadable files has no snapshots and no subsystems.
        """
        return runs_table(self._reader)

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """Conditions that were added, one value for each run: ``archive.runs.join(archive.conditions)``.

        A condition is a column of a table; ``table.column`` where several tables have one of that name. Of values over
        time, numbers are averaged over the run; of others, integers included, the one that holds longest is taken.
        """
        return self._conditions.of_archive(self.runs)

    @property
    def condition_tables(self) -> pd.DataFrame:
        """Where each condition comes from: table, condition, what it is joined on, rows, values, source, who, added."""
        return self._conditions.listing()

    def condition(self, name: str, run: int, subsystem: str | None = None) -> xr.DataArray:
        """A condition at each snapshot of a run, dim ``time``: the value that held when the snapshot ended.

        Parameters
        ----------
        subsystem
            Whose snapshots; None: the first that has the run.

        Raises
        ------
        NotFoundError, AmbiguousNameError
            If there is no such condition, run or subsystem, or several conditions have that name.
        """
        import xarray as xr

        having = [one for one in self.subsystems if run in self._reader.subsystem(one).run_indices]
        name_of = subsystem or (having or [*self.subsystems, ""])[0]
        times = self._reader.subsystem(name_of).times(self._reader.subsystem(name_of).run_index(run))
        values = self._conditions.at(name, run, times)
        return xr.DataArray(values, {"time": times, "run": run}, ("time",), name=name)

    @cached_property
    def _conditions(self) -> Conditions:
        from owtrend.conditions.stored import Conditions

        return Conditions(self._reader)

    def last_time(self, subsystem: str) -> pd.Timestamp:
        """When the newest snapshot of a subsystem ended, UTC."""
        from owtrend.detectors.listing import home

        per_run = home(self._reader, subsystem).view.per_run
        return pd.Timestamp(int(per_run["stop"][per_run["n_snapshots"] > 0].max()))

    @property
    def quarantine(self) -> pd.DataFrame:
        """Files and objects that could not be taken in: source, subsystem, run, time and the reason."""
        return quarantine_table(self._reader)

    @property
    def not_stored(self) -> pd.DataFrame:
        """Objects of the files that the store does not hold, since they are no histograms.

        Columns: subsystem, class, objects (of one file, at most), example (one of them), first_run and last_run.
        """
        return not_stored_table(self._reader)

    @property
    def carried(self) -> pd.DataFrame:
        """First snapshots of runs that are the end of the run before, and not shown: subsystem, run, snapshots."""
        return carried_table(self._reader)

    @property
    def kinds(self) -> pd.DataFrame:
        """Histograms that are no plain counters, by what `compute` saw: subsystem, histogram, kind, why, runs.

        Kinds are ``gauge`` (each snapshot is a state of its own), ``reset`` (at each snapshot) and ``counter``, for
        those that restarted, had snapshots out of order, or unknown gains. A configuration may say otherwise. In how
        many snapshots of a counter that happened is in ``restarts``, ``out_of_order``, ``unknown`` and ``moved``.
        """
        return kinds_table(self._reader)

    @property
    def changes(self) -> pd.DataFrame:
        """Histograms that changed within a run and go on as one: class, error option, an extended axis, new labels.

        Columns: subsystem, run, histogram, time (UTC) of the first snapshot after the change, and what changed.
        """
        return changes_table(self._reader)

    @property
    def stale(self) -> pd.DataFrame:
        """What `owtrend compute` would renew: subsystem, run, what (``trends``, ``scores`` or ``findings``), reason.

        Values of earlier formulas or settings stay readable until then; those of data that changed do not.
        """
        from owtrend.compute.stale import stale_runs

        return stale_runs(self._reader)

    @property
    def other_code(self) -> list[str]:
        """Sentences on your own reductors whose code is not loaded here, or not that of the stored trends."""
        if not self._reader.own_reductors:
            return []
        from owtrend.modules import other_code
        from owtrend.trends.settings import named_origins, own_reductors

        recorded = named_origins(self._existing_config, self._reader.own_reductors)
        return other_code(recorded, own_reductors(self._existing_config))

    def histograms(self, subsystem: str, run: int | None = None) -> pd.DataFrame:
        """The histograms of a subsystem (in one run, if given) in the order of the files, indexed by displayed name.

        Columns: path, class, kind (``counter`` or ``gauge``), dims, bins (flow excluded), axes (titles), title,
        reductors, first_run and last_run.
        """
        from owtrend.detectors.listing import home
        from owtrend.trends.reductors import applicable

        of = home(self._reader, subsystem, run)
        table = histograms_table(of.view, run, applicable)
        return table[table["path"].isin([entry.path for entry in of.entries])] if of.hosted else table

    @property
    def hosted(self) -> dict[str, str]:
        """Subsystems whose histograms lie in the files of another one, by name that one; a plug-in says which."""
        from owtrend.detectors.listing import hosted_subsystems

        return hosted_subsystems(self._reader)

    def groups(self, subsystem: str, run: int | None = None) -> pd.DataFrame:
        """Histograms of a subsystem (in one run, if given) as its plug-in groups them, and what is derived from them.

        Returns
        -------
        :
            In order of the groups, indexed by displayed name: ``group``, ``title``, ``kind`` (``stored``,
            ``projection``, ``overlay`` or ``ratio``), ``sources`` (of a derived one), ``axes`` (of a projection) and
            ``grid``, true for those that belong side by side.

        Raises
        ------
        NotFoundError
            If there is no such subsystem or run.
        """
        from owtrend.detectors.listing import group_table, home

        return group_table(home(self._reader, subsystem, run), self.histograms(subsystem, run).index.tolist())

    def derived(
        self, subsystem: str, run: int, start: Any = None, stop: Any = None, *, select: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, xr.Dataset]:  # fmt: skip
        """Derived histograms of one interval of a run, by name: projections, overlays and ratios that a plug-in
        declares.

        Parameters
        ----------
        start, stop
            As in `time_slice`.
        select
            Patterns of their names; all, if there are none.
        options
            Options of the plug-in; ``scale_events=False`` leaves overlays as they were counted.

        Returns
        -------
        :
            A projection is a histogram without rows, see `owtrend.project`. An overlay has ``value`` and ``error`` over
            ``histogram`` and the bins, a ratio ``value`` and ``error``.

        Raises
        ------
        NotFoundError
            If there is no such subsystem, run, derived histogram or option, or no snapshot in the interval.
        UsageError
            If an option has a wrong value.
        """
        from owtrend.detectors.interval import derived

        return derived(self._reader, self.config, subsystem, run, start, stop, select=select, options=options)

    def hot_channels(
        self, subsystem: str, run: int, start: Any = None, stop: Any = None, *, select: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Channels with more content per event than a threshold, in one interval of a run.

        Parameters
        ----------
        start, stop
            As in `time_slice`. Events are those of this interval.
        select
            Patterns of histograms; those for which the plug-in has a threshold, if there are none.
        options
            Options of the plug-in, such as ``hot_channel_threshold``.

        Returns
        -------
        :
            ``histogram``, ``channel`` (from 0 on), ``bin``, its edges ``low`` and ``high``, ``rate`` per event and its
            ``error``, the ``threshold``, and ``place`` in words; of each histogram the hottest first.

        Raises
        ------
        NotFoundError
            If there is no such subsystem, run, histogram or option, no histogram with a threshold, no snapshot in the
            interval, or nobody counts events.
        UsageError
            If an option has a wrong value, or a histogram no channels along one axis.
        """
        from owtrend.detectors.interval import hot_channels

        return hot_channels(self._reader, self.config, subsystem, run, start, stop, select=select, options=options)

    def hot_channels_in(self, gained: xr.Dataset, options: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The same of a time slice that you have, as from ``owtrend.time_slice(archive.histogram(...))``."""
        from owtrend.detectors.interval import hot_channels_in

        of, counter = self._counting(gained)
        return hot_channels_in(gained, of, of.detector.settings(options), counter)

    def events_in(self, gained: xr.Dataset) -> float:
        """Events in the time that a time slice covers, between its last report before and its last one inside.

        Raises
        ------
        NotFoundError
            If nobody counts events in that run, or there are none in that time.
        """
        return self._counting(gained)[1]().during(gained)

    def _counting(self, gained: xr.Dataset) -> tuple[Home, Callable[[], EventsOfRun]]:
        """Where a slice's subsystem is, and what counts the events of its run."""
        from owtrend.detectors.hot_channels import EventsOfRun
        from owtrend.detectors.listing import home

        key = subsystem, run = str(gained.attrs["subsystem"]), int(gained["run"].item())
        of = home(self._reader, subsystem, run)

        def counter() -> EventsOfRun:
            if key not in self._counters:
                self._counters[key] = EventsOfRun(of.view, run, of.detector, self.config)
            return self._counters[key]

        return of, counter

    def histogram(
        self, subsystem: str, name: str | Path, run: int | None = None, *, runs: slice | Sequence[int] | None = None,
        flow: bool = False, binning: int | None = None, chunks: Any = None,
    ) -> xr.Dataset:  # fmt: skip
        """The snapshots of one histogram, cumulative, read when needed.

        Parameters
        ----------
        name
            Displayed name, or the tuple of its path; also that of a projection that a plug-in derives, see `groups`.
        run
            One run: dim ``time``. Without it all runs, or those of ``runs`` (a list, or a slice of run numbers, both
            ends included): dim ``snapshot`` with coords ``run`` and ``time``.
        flow
            Keep under- and overflow as the first and last bin of each axis.
        binning
            Number of the binning, in order of time, if it changed within a run; -1 is the last.
        chunks
            Dask chunks, as `xarray.Dataset.chunk` takes them.

        Returns
        -------
        :
            Additive parts over ``(time, x[, y[, z]])``: ``contents`` [counts] and, where kept, ``sumw2``; of profiles
            ``sumwy``, ``sumwy2``, ``bin_entries``, ``bin_sumw2``; int64, or float64 where the values are not whole
            numbers. ``sums`` (time, sum): ROOT's statistics. Coords: bin centres ``x``, edges ``x_left``, ``x_right``,
            labels ``x_label`` where there are any. Only rows that hold the histogram: absent is not zero.

        Raises
        ------
        NotFoundError, AmbiguousNameError
            If there is no such subsystem, run or histogram, or several by that name.
        BinningChangedError
            If the binning changed and none was chosen.
        """
        from owtrend.detectors.listing import DerivedHistogram, home
        from owtrend.histograms import run_histogram
        from owtrend.histograms.labelled import labelled

        of = home(self._reader, subsystem, run)
        made = of.resolve(name)
        if isinstance(made, DerivedHistogram):
            from owtrend.detectors.derive import projected

            made.require_projection()
            source = self.histogram(subsystem, made.sources[0], run, runs=runs, flow=True, binning=binning)
            dataset = projected(made, source, flow)
            return dataset if chunks is None else dataset.chunk(chunks)
        view, entry = of.view, made
        if run is not None:
            pieces = [run_histogram.find(view, run, entry, binning)]
        else:
            pieces = run_histogram.find_all(view, select_runs(view.run_indices, runs), entry, binning)
        dataset = labelled(pieces, ragged=run is None, flow=flow, subsystem=subsystem)
        return dataset if chunks is None else dataset.chunk(chunks)

    def time_slice(
        self, subsystem: str, run: int, start: Any = None, stop: Any = None, *, select: Sequence[str] = ()
    ) -> TimeSlice:
        """Increments of every histogram of a subsystem, summed over one interval of a run; see
        `owtrend.histograms.subsystem_slice`.

        ``archive.time_slice("EMC", 300000, "10:00", "10:30")["h"].to_hist()``

        Parameters
        ----------
        start, stop
            As in `owtrend.time_slice`: ``(start, stop]``, UTC, None for the run's ends.
        select
            Patterns of displayed names; all, if there are none.

        Returns
        -------
        :
            A snapshot of that interval alone: a mapping from path (or displayed name) to `Histogram`.

        Raises
        ------
        NotFoundError
            If there is no such subsystem or run, no snapshot in the interval, or a pattern selects nothing.
        """
        from owtrend.detectors.interval import subsystem_slice

        return subsystem_slice(self._reader, subsystem, run, start, stop, select=select)

    def dataset(
        self, subsystem: str, array: str = "counts", *, runs: slice | Sequence[int] | None = None
    ) -> xr.Dataset:
        """All histograms of a subsystem at once: the cells of one of the store's arrays, read when needed.

        ``archive.dataset("EMC").sel(run=300000, histogram="h", bin=slice(1, 10))``

        Parameters
        ----------
        array
            ``counts``: int64, the parts whose every bin is a whole number; ``weights``: float64, all other parts;
            ``sums``: float64, ROOT's statistics. ``sumw2`` that equals the contents has no cells.
        runs
            As in `histogram`.

        Returns
        -------
        :
            The array, and ``held``, both over ``(snapshot, cell)``: where the snapshot does not hold the histogram the
            cell is 0 and ``held`` false. Indexed by ``run`` and ``time`` (UTC), and by ``histogram``, ``part`` and
            ``bin`` (flow included, x fastest, 0 is the underflow), ``sums`` by ``histogram`` and ``sum``. A histogram
            that changed its binning has the cells of each.

        Raises
        ------
        NotFoundError
            If there is no such subsystem, run or array.
        """
        from owtrend.histograms.cells import dataset

        view = self._reader.subsystem(subsystem)
        return dataset(view, array, select_runs(view.run_indices, runs)).assign_attrs(subsystem=subsystem)

    def trend(
        self, subsystem: str, name: str | Path, reductor: str, run: int | None = None,
        *, runs: slice | Sequence[int] | None = None, every: Any = None, against: str | None = None,
    ) -> xr.Dataset:  # fmt: skip
        """One reductor of one histogram's increments over time, stored or else computed now.

        Parameters
        ----------
        reductor
            Such as ``entries``, ``mean_x``, ``quantile_x(0.9)`` or ``mean_x(y=2:5)``, see `owtrend.trends.reductors`.
        run, runs
            As in `histogram`.
        every
            Length of intervals to sum over, such as ``"10min"``, from the first snapshot of each run; ``"run"``: whole
            runs; None: each snapshot.
        against
            A condition, whose values become a coordinate by its name: to plot or group by.

        Returns
        -------
        :
            ``value`` and ``error``, NaN where there are no entries, over ``time`` (the end of each increment) or
            ``snapshot``; coords ``start`` (NaT: since the run began), ``exposure`` [s], ``reported``, ``restart``, and
            ``stale``, true for a stored value of earlier formulas or settings. Of whole runs over ``run``,
            with ``start``, ``stop`` and ``stale``.

        Raises
        ------
        NotFoundError
            If there is no such subsystem, run, histogram or reductor, or the reductor has no meaning for it.
        UsageError
            If the reductor takes something else in its brackets, or ``every`` is no length of time.
        """
        from owtrend.detectors.listing import DerivedHistogram, home

        of = home(self._reader, subsystem, run)
        derived = of.resolve(name)
        if isinstance(derived, DerivedHistogram):
            from owtrend.detectors.derive import source_reductor

            derived.require_projection()
            (source,) = derived.sources
            spec = source_reductor(derived, reductor, of.find(source).first.axes)
            found = self.trend(subsystem, source, spec, run, runs=runs, every=every)
            return found.assign_attrs(name=derived.name, reductor=reductor)
        made = self.trends(subsystem, [name], [reductor], run, runs=runs, every=every)
        one = made.isel(histogram=0, reductor=0).load()
        names = {"name": str(one["histogram"].item()), "reductor": str(one["reductor"].item())}
        if against is not None:
            one = one.assign_coords({against: self._conditions.along(against, one)})
        return one.drop_vars(("histogram", "reductor")).assign_attrs(names)

    def trends(
        self, subsystem: str, histograms: Sequence[str | Path] | str | None = None,
        reductors: Sequence[str] | None = None, run: int | None = None,
        *, runs: slice | Sequence[int] | None = None, every: Any = None,
    ) -> xr.Dataset:  # fmt: skip
        """Many trends at once, read when needed.

        Parameters
        ----------
        histograms
            Names, or a shell pattern of them; None: all.
        reductors
            As in `trend`; None: those that `compute` keeps of any of these histograms.
        run, runs, every
            As in `trend`; intervals are of one histogram.

        Returns
        -------
        :
            ``value`` and ``error`` over ``(time, histogram, reductor)``, or ``snapshot`` for ``time``; NaN also where a
            reductor has no meaning for a histogram. Coords as of `trend`, ``start``, ``exposure``, ``reported`` and
            ``restart`` of each histogram.
        """
        from owtrend.detectors.listing import home
        from owtrend.trends.query import over_intervals, require_fitting, row_by_row, run_by_run
        from owtrend.trends.reductors import DEFAULT, axis_words, parse
        from owtrend.trends.settings import parse_stored

        place = home(self._reader, subsystem, run)
        view, entries = place.view, place.select(histograms)
        for name in reductors or ():
            if words := axis_words(name, (entry.first for entry in entries)):
                _log.warning("%s", words)
        names = reductors
        if names is None:
            names = [one for one in DEFAULT if any(parse(one).fits(entry.first) for entry in entries)]
        chosen = [parse_stored(view, one) for one in names]
        for one in chosen:
            if len(entries) == 1:
                require_fitting(entries[0], one)
        wanted = [run] if run is not None else select_runs(view.run_indices, runs)
        for known in wanted:
            view.run_index(known)
        if not wanted:
            raise NotFoundError(f"{view.where}: none of the runs asked for")
        of = (view, view.name, self._existing_config, wanted, entries, chosen)
        if every == "run":
            return run_by_run(*of)
        if every is None:
            return row_by_row(*of, ragged=run is None)
        return over_intervals(*of, parse_interval(every), ragged=run is None)

    def scores(
        self, subsystem: str, histograms: Sequence[str | Path] | str | None = None,
        scores: Sequence[str] | None = None, run: int | None = None, *, runs: slice | Sequence[int] | None = None,
    ) -> xr.Dataset:  # fmt: skip
        """Significance of each score, report by report, as `compute` stored it.

        Parameters
        ----------
        histograms, run, runs
            As in `trends`.
        scores
            Names; None: all that are kept, see `owtrend.outliers.monitor`.

        Returns
        -------
        :
            ``z`` (time, histogram, score) [normal standard deviations], given how much the histogram scatters while
            nothing is wrong, and the number of bins: positive where it differs from its references. ``total`` (time,
            histogram): all scores of its bins as one; ``flagged`` (time, histogram) where it exceeds the coord
            ``threshold``, or the fraction or rate does. NaN where a histogram did not report. ``snapshot`` for ``time``
            without ``run``.

        Raises
        ------
        NotFoundError
            If there is no such subsystem, run, histogram or score, or nothing was scored yet.
        """
        from owtrend.detectors.listing import home
        from owtrend.outliers.results import score_dataset

        of = home(self._reader, subsystem, run)
        view = of.view
        wanted = [run] if run is not None else select_runs(view.run_indices, runs)
        if not wanted:
            raise NotFoundError(f"{view.where}: none of the runs asked for")
        return score_dataset(view, wanted, of.select(histograms), scores, ragged=run is None)

    def run_scores(self, subsystem: str, histogram: str | Path) -> pd.DataFrame:
        """Whole runs of one histogram compared with the good ones before them; also where a run has one snapshot.

        With many entries any two runs differ significantly. A run is bad if it differs significantly, and by more than
        good runs do.

        Returns
        -------
        :
            In order of time, indexed by ``run``: ``entries``, ``z`` (significance), ``size`` and ``size_error`` (root
            mean square of the relative differences of bins; of profiles, of their bin entries), ``usual`` (size of the
            good runs before), ``deviation`` (how far it is beyond that, in their standard deviations) and ``bad``. NaN
            where there is nothing to compare with.

        Raises
        ------
        NotFoundError
            If there is no such subsystem or histogram, or it has no trends yet.
        """
        from owtrend.detectors.listing import home
        from owtrend.outliers.results import run_score_table

        of = home(self._reader, subsystem)
        return run_score_table(of.view, of.find(histogram))

    def findings(
        self, subsystem: str | None = None, *, runs: slice | Sequence[int] | int | None = None
    ) -> pd.DataFrame:
        """Findings in order of time: each report of each histogram that is not as it should be, and why.

        Returns
        -------
        :
            Columns ``id`` (the same however often it is found again), ``subsystem``, ``run``, ``histogram`` (None if it
            concerns several, or whole snapshots), ``start`` and ``stop`` (UTC, start excluded), ``score``, ``z`` (NaN
            if certain), ``certain`` (no statistical statement, such as a restart), ``size`` and ``size_error`` (how
            large it is, see `owtrend.model.finding.Finding`), ``why`` in words, ``histograms``
            (all names; none for whole snapshots), ``bins`` and ``side`` (where, and whether there is more or less than
            expected, see `owtrend.model.finding.Finding`), ``report``, the typical time between reports, and ``place``,
            the part of the detector that ``bins`` stand for, in words (empty if a plug-in does not name it).
        """
        from owtrend.detectors.plugins import places
        from owtrend.outliers.results import finding_table
        from owtrend.quality.unreadable import chosen_runs

        if subsystem is not None and (host := self.hosted.get(subsystem)) is not None:
            own = {*self.histograms(subsystem).index}
            found = self.findings(host, runs=runs)
            concerned = [not names or not own.isdisjoint(names) for names in found["histograms"]]
            return found[np.array(concerned, dtype=bool)]
        chosen = chosen_runs(self._reader, subsystem, runs)
        table = finding_table(self._reader, None if subsystem is None else [subsystem], chosen)
        return table.assign(place=places(zip(table["subsystem"], table["histograms"], table["bins"], strict=True)))

    def not_scored(self, subsystem: str | None = None, *, runs: slice | Sequence[int] | int | None = None) -> list[int]:
        """Runs in whose present data nobody has looked for outliers yet, in a subsystem or in any of them."""
        from owtrend.outliers.results import not_scored
        from owtrend.quality.unreadable import chosen_runs

        if subsystem is not None:
            subsystem = self.hosted.get(subsystem, subsystem)
        return not_scored(self._reader, subsystem, chosen_runs(self._reader, subsystem, runs))

    def flags(
        self, rules: str | FilePath | Sequence[RuleConfig] | None = None, *,
        runs: slice | Sequence[int] | int | None = None, conditions: ConditionLookup | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Flags: intervals of one quality by each rule, of each histogram that it watches.

        Adjacent reports of equal quality are one interval; time without a report is unknown. A warning that a person
        accepted is acceptable.

        Parameters
        ----------
        rules
            A YAML file with ``rules``, or rules; None: those of the configuration that the store keeps.
        runs
            As in `findings`.
        conditions
            Looks up run conditions, see `owtrend.quality.rules.readings.Conditions`; None: those of the store.

        Returns
        -------
        :
            Columns ``subsystem``, ``run``, ``start`` and ``stop`` (UTC, start excluded), ``histogram``, ``rule``,
            ``quality`` (``ok``, ``acceptable``, ``unknown``, ``warning`` or ``error``), ``reports`` (how many) and
            ``why``: the values that decided about the first report. Ordered by rule, histogram and time.

        Raises
        ------
        UsageError
            If the file is not readable, or an expression means nothing; the text has its column.
        NotFoundError
            If there is no such run.
        """
        from owtrend import config
        from owtrend.quality.alarms.engine import people
        from owtrend.quality.journal import Journal
        from owtrend.quality.rules.flags import judged
        from owtrend.quality.rules.intervals import flag_table
        from owtrend.quality.unreadable import chosen_runs

        if rules is None or isinstance(rules, str | FilePath):
            rules = (self.config if rules is None else config.load(rules)).rules
        chosen = chosen_runs(self._reader, None, runs)
        listed = None if chosen is None else sorted(chosen)
        journal = Journal(self.location)
        accepted = people(journal).acceptable if journal.exists else None
        found = judged(self._reader, rules, listed, conditions=conditions, accepted=accepted)
        return flag_table(self._reader, found, listed)

    def incidents(
        self, subsystem: str | None = None, *, runs: slice | Sequence[int] | int | None = None
    ) -> pd.DataFrame:
        """Incidents, in order of time: findings that belong together, and since which run.

        Those that reach into one of the chosen runs, each as a whole; `owtrend.quality.incident` has the rule.

        Returns
        -------
        :
            Columns ``id`` (of the first finding), ``start`` and ``stop`` (UTC, start excluded), ``runs`` in order of
            time (a level that changed and holds: since the first of them), ``subsystems``, ``histograms`` (how many; 0
            if it concerns whole snapshots), ``findings`` (how many), of the most significant finding ``run``,
            ``subsystem``, ``histogram``, ``score``, ``z``, ``certain``, ``why``, ``place`` (as of `findings`), and
            ``parts``: subsystem, run, start, stop [ns UTC] and number of findings of each subsystem in each run.
        """
        from owtrend.detectors.plugins import places
        from owtrend.quality.results import incident_table, store_incidents
        from owtrend.quality.unreadable import chosen_runs

        if subsystem is not None and (host := self.hosted.get(subsystem)) is not None:
            own = {(host, name) for name in self.histograms(subsystem).index}
            concerned = [
                incident.id for incident in store_incidents(self._reader)
                if not incident.histograms or not own.isdisjoint(one[:2] for one in incident.histograms)
            ]  # fmt: skip
            of_host = self.incidents(host, runs=runs)
            return of_host[of_host["id"].isin(concerned)]
        chosen = chosen_runs(self._reader, subsystem, runs)
        found = [
            incident for incident in store_incidents(self._reader)
            if any(
                (subsystem is None or part.subsystem == subsystem) and (chosen is None or part.run in chosen)
                for part in incident.parts
            )
        ]  # fmt: skip
        table = incident_table(found)
        named = places((one.top.subsystem, one.top.histograms, one.top.bins) for one in found)
        table.insert(table.columns.get_loc("parts"), "place", named)
        return table

    @property
    def alarms(self) -> pd.DataFrame:
        """Alarms, oldest first: what rules and incidents became for people, as `owtrend compute` left them.

        Columns ``id``, ``state`` (see `owtrend.quality.alarms.alarm.State`), ``quality`` (at its worst), ``start``,
        ``fired`` and ``stop`` (UTC; NaT: it is on), ``run``, ``subsystem`` (where it is worst), ``subsystems`` (all of
        them), ``source`` (rule, incident or source), ``name`` (of the rule, or id of the incident), ``histogram``,
        ``why``, ``place`` (of an incident, as of `findings`), ``acknowledged`` (by whom), ``silenced`` and
        ``announced`` (when people were first sent word of it).
        """
        from owtrend.detectors.plugins import with_places
        from owtrend.quality.alarms.table import alarm_table
        from owtrend.quality.journal import Journal
        from owtrend.quality.results import store_incidents

        table = alarm_table(Journal(self.location))
        return with_places(table, store_incidents(self._reader) if len(table) else ())

    @property
    def accepted(self) -> pd.DataFrame:
        """Incidents accepted as the new normal, oldest first: id, runs, why (it is one), note, who, when (UTC)."""
        from owtrend.quality.acceptance import accepted_table
        from owtrend.quality.journal import Journal

        return accepted_table(Journal(self.location))

    def accept(
        self, incident: str, note: str = "", *, user: str | None = None, undo: bool = False, journal: str | None = None
    ) -> None:
        """Accept an incident as the new normal, from its beginning on; `owtrend compute` then scores anew from there.

        Only the histograms of the incident get another reference. The journal of the store keeps who did it, when and
        why.

        Parameters
        ----------
        incident
            Its id in `incidents` (to undo: in `accepted`), or how it begins.
        note
            Why.
        user
            Who; None: the login name.
        undo
            Take an acceptance back instead.
        journal
            Database URL of the journal, for a store that is no local folder.

        Raises
        ------
        NotFoundError, AmbiguousNameError
            If there is no such incident, or several.
        UsageError
            If the note is missing, the incident is accepted already, or it is an event that has no level.
        StoreError
            If the journal cannot be written.
        """
        from owtrend.quality import acceptance

        change = acceptance.undo if undo else acceptance.accept
        change(self._reader, incident, note=note, user=user, url=journal)

    def good_runs(
        self, *, subsystems: Sequence[str] = (), without: Sequence[str] = (), having: Sequence[str] = (),
        signed: bool = False, whole: bool = False, journal: str | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Intervals of good data, a row each: run, start, stop (UTC, start excluded), seconds, signed_by.

        Parameters
        ----------
        subsystems, without, having, signed, whole
            See `owtrend.quality.good_runs.Choice`: which subsystems must be good; flags whose intervals are left out,
            by default all *bad* ones; flags that a run must have; only runs that two people signed off; only runs of
            which nothing is left out.
        journal
            Database URL of the journal, for a store that is no local folder.
        """
        from owtrend.quality import good_runs
        from owtrend.quality.journal import Journal

        choice = good_runs.Choice(subsystems=subsystems, without=without, having=having, signed=signed, whole=whole)
        return good_runs.good_table(good_runs.good_runs(self._reader, Journal(self.location, journal), choice))

    def reference(
        self, subsystem: str, runs: int | Sequence[int] | None = None, start: Any = None, stop: Any = None, *,
        like: int | None = None, last: int = 5, rate_within: float | None = None, leave_out: Sequence[int] = (),
        select: Sequence[str] = (),
    ) -> Reference:  # fmt: skip
        """Reference for slices of a subsystem: slices of some runs.

        Parameters
        ----------
        runs, start, stop
            One run or several; an interval of a single one, as in `time_slice`.
        like, last, rate_within, leave_out
            Instead of ``runs``: the newest ``last`` runs before run ``like`` that are comparable with it, see
            `owtrend.comparison.reference.comparable`. Rates are those of the condition that the configuration names
            as ``scores.rate``, if there is one, else of what counts events.
        select
            As in `time_slice`.

        Raises
        ------
        UsageError, NotFoundError
            If neither or both of ``runs`` and ``like`` are given, or there are no such runs.
        """
        from owtrend.comparison.reference import comparable, reference

        if (runs is None) == (like is None):
            raise UsageError("a reference: give its runs, or the run that it is to be like")
        if like is not None:
            rates = None if rate_within is None else self._rates
            chosen = comparable(
                self._reader, self.config, subsystem, like, last=last, rate_within=rate_within, rates=rates,
                leave_out=leave_out,
            )  # fmt: skip
        else:
            chosen = [runs] if isinstance(runs, int) else list(runs or ())
        return reference(self._reader, self.config, subsystem, chosen, start, stop, select=select)

    @property
    def _rates(self) -> dict[int, float] | None:
        """Rate of each run, from the condition that has it; None if there is none."""
        name = self.config.scores.rate
        if name not in self._conditions.places:
            return None
        return {run: float(rate) for run, rate in self.conditions[name].items() if rate is not None}

    @overload
    def components(self, subsystem: str, *, runs: slice | Sequence[int] | None = None) -> pd.DataFrame: ...

    @overload
    def components(
        self, subsystem: str, *, histogram: str | Path, runs: slice | Sequence[int] | None = None
    ) -> xr.DataArray: ...

    def components(
        self, subsystem: str, *, histogram: str | Path | None = None, runs: slice | Sequence[int] | None = None
    ) -> pd.DataFrame | xr.DataArray:
        """Components of the detector that fill each histogram, or each bin of one, learned from when they change.

        Parameters
        ----------
        histogram
            Find the components of its bins, where several fill it: what `owtrend.compare` takes as ``component``.
        runs
            As in `histogram`; None: the last twenty.

        Returns
        -------
        :
            Indexed by displayed name: ``component``, a number, -1 where nothing ever changed; ``certain``, true if so
            many reports would hardly fit by chance; ``reports``, the snapshots in which the component reported. See
            `owtrend.outliers.components.learn`. Of one histogram the numbers over its bins, flow bins left out, with
            ``certain`` as a coordinate; see `owtrend.outliers.components.learn_cells`.

        Raises
        ------
        UsageError
            If the histogram is a gauge, such as a status map.
        """
        from owtrend.outliers.components import bin_components, component_table

        known = sorted(self._reader.subsystem(subsystem).run_indices)
        if histogram is not None:
            return bin_components(self.histogram(subsystem, histogram, runs=known[-20:] if runs is None else runs))
        made = self.trends(subsystem, reductors=["entries"], runs=known[-20:] if runs is None else runs)
        return component_table(made["reported"])

    def learn(
        self, subsystem: str, name: str | Path, runs: slice | Sequence[int] | None = None, model: Any = "pca",
        *, leave_flagged: bool = True, variations: int | None = None,
    ) -> Learned:  # fmt: skip
        """Shapes of one histogram in good reports, to score others with: ``archive.learn(...).score(h)``.

        Parameters
        ----------
        runs
            Good runs, as in `histogram`.
        model, variations
            ``mean``, ``pca``, ``nmf``, ``autoencoder`` or your own class, see `owtrend.learn_shape`.
        leave_flagged
            Leave out reports with a finding for this histogram or its whole snapshot.

        Raises
        ------
        DimsError, UsageError, NotFoundError
            As `histogram` and `owtrend.learn_shape`.
        """
        from owtrend.learned.shape import learn_shape

        taken = self.histogram(subsystem, name, runs=runs)
        bad: list[tuple[Any, Any]] = []
        if leave_flagged:
            findings = self.findings(subsystem, runs=np.unique(taken["run"].values).tolist())
            findings = findings[findings["score"] != "new"]
            concerned = [not names or taken.attrs["name"] in names for names in findings["histograms"]]
            bad = list(zip(findings["start"][concerned].values, findings["stop"][concerned].values, strict=True))
        return learn_shape(taken, model, variations=variations, leave_out=bad, version=self.version)

    def unusual(
        self, subsystem: str, run: int, runs: slice | Sequence[int], *, every: Any = "10min",
        histograms: Sequence[str | Path] | str | None = None, reductors: Sequence[str] | None = None,
    ) -> xr.Dataset:  # fmt: skip
        """Score of each interval of a run against good runs, over all trends together; see
        `owtrend.learned.isolation_forest`.

        Parameters
        ----------
        runs
            Good runs, as in `histogram`; ``run`` itself is left out.
        histograms, reductors
            As in `trends`; None: all, and those of `owtrend.learned.isolation_forest.REDUCTORS` that mean something.

        Raises
        ------
        NotFoundError, UsageError
            As `trends` and `owtrend.learned.isolation_forest.unusual`.
        """
        from owtrend.learned.isolation_forest import REDUCTORS, unusual
        from owtrend.trends.reductors import parse

        entries = select_histograms(self._reader.subsystem(subsystem), histograms)
        names = reductors or [one for one in REDUCTORS if any(parse(one).fits(entry.first) for entry in entries)]
        past = [known for known in select_runs(self._reader.subsystem(subsystem).run_indices, runs) if known != run]
        paths = [entry.path for entry in entries]
        return unusual(
            self.trends(subsystem, paths, names, runs=past), self.trends(subsystem, paths, names, run), every
        )

    @property
    def config(self) -> Config:
        """The configuration that stored trends are made with; see `owtrend.compute.compute.compute`.

        The modules that it names are not imported.
        """
        return self._reader.config

    @cached_property
    def _existing_config(self) -> Config:
        from owtrend.trends.settings import existing

        return existing(self.config, self._reader)
