"""Stored trends and scores of one subsystem: `StoredTrends` and `StoredScores` read them, the writers write them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from owtrend.errors import reading
from owtrend.store import versions
from owtrend.store.layout import (
    SCORE_DETAIL,
    TREND_ARRAYS,
    TREND_DETAIL,
    append_log,
    create_row_thresholds,
    create_run_states,
    create_score_origin,
    create_scores,
    create_trend_origin,
    create_trends,
    grow,
    padded,
    read_log,
    stored_names,
)

__all__ = ["ScoreWriter", "StoredScores", "StoredTrends", "TrendWriter"]

_RUNS_AT_ONCE = 32  # whose findings are read


@dataclass
class _Derived:
    """Arrays of one group; ``group`` is None where nothing is stored."""

    group: zarr.Group | None
    runs: int  # on the run axis of the raw data; those that came since have no values here
    _arrays: dict[str, zarr.Array[Any]] = field(default_factory=dict)

    def block(self, name: str, *index: Any) -> NDArray[Any]:
        """Part of an array: slices, or lists of numbers, each along its own dim."""
        assert self.group is not None, f"asked for stored {name} where there are none"
        if (array := self._arrays.get(name)) is None:
            array = self._arrays[name] = self.group[name]
        return array.oindex[tuple(np.asarray(one) if isinstance(one, list) else one for one in index)]

    @cached_property
    def revisions(self) -> NDArray[np.int32]:
        """Revision of each run from which its values were made; 0 where there are none."""
        return self._per_run("revision", np.zeros(self.runs, dtype=np.int32))

    @cached_property
    def settings(self) -> NDArray[np.uint8]:
        """Hash of the settings by which the values of each run were made, shape ``(run, 8)``."""
        return self._per_run("settings", np.zeros((self.runs, 8), dtype=np.uint8))

    def _per_run(self, name: str, missing: NDArray[Any]) -> NDArray[Any]:
        """An array along the run axis, or ``missing`` where it is not stored."""
        if self.group is None or (array := self.group.get(name)) is None:
            return missing
        return padded(array[: self.runs], self.runs)

    def _versions(self, size: int) -> NDArray[np.int32]:
        before = (versions.BEFORE_VERSIONS * (self.revisions > 0)).astype(np.int32)  # in stores that kept none
        return self._per_run("version", np.repeat(before[:, None], size, axis=1))


class StoredTrends(_Derived):
    """The stored trends of one subsystem; small things are read once."""

    @property
    def _readable(self) -> zarr.Group | None:
        """The group, unless it has an earlier layout."""
        return self.group if self.group is not None and "state" in self.group else None

    @cached_property
    def histograms(self) -> list[str]:
        """Paths of the histograms that have trends, as JSON."""
        return [] if (group := self._readable) is None else read_log(group, "histograms")

    def column(self, path: tuple[str, ...]) -> int | None:
        """Number of a histogram in the arrays; None if it has no trends."""
        return self._columns.get(json.dumps(path))

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {path: number for number, path in enumerate(self.histograms)}

    @cached_property
    def reductors(self) -> list[str]:
        """Names of the reductors that have trends."""
        return [] if (group := self._readable) is None else _names(group, "reductors")

    @cached_property
    def versions(self) -> NDArray[np.int32]:
        """Versions of the formulas, shape ``(run, reductor)``; 0 where there are no trends."""
        return self._versions(len(self.reductors))

    @cached_property
    def run_states(self) -> NDArray[np.uint8]:
        """Bits of the states of all rows of each run, shape ``(run, histogram)``; all 0 where they are not known."""
        return self._per_run("run_state", np.zeros((self.runs, len(self.histograms)), dtype=np.uint8))

    @property
    def rows_per_chunk(self) -> int:
        return 1 if self.group is None else int(self.group["value"].chunks[1])


class StoredScores(_Derived):
    """The stored scores of one subsystem; small things are read once."""

    @property
    def names(self) -> list[str]:
        """Names of the scores, as they are called today."""
        return [] if self.group is None else stored_names(self.group, "scores")

    @property
    def comparisons(self) -> list[str]:
        """Names of the comparisons of each report."""
        return [] if self.group is None else _names(self.group, "looks")

    @cached_property
    def versions(self) -> dict[str, NDArray[np.int32]]:
        """Versions of the formulas of each run, by family of scores; 0 where there are no scores."""
        families = list(versions.SCORES)
        if self.group is not None and "families" in self.group.attrs:
            families = _names(self.group, "families")
        return dict(zip(families, self._versions(len(families)).T, strict=True))

    @property
    def histograms(self) -> int:
        """Number of histograms that have scores: the first of the registry."""
        return 0 if self.group is None else int(self.group["total"].shape[2])

    @cached_property
    def basis(self) -> NDArray[np.uint8]:
        """Digest of the references of each run, shape ``(run, 16)``."""
        return self._per_run("basis", np.zeros((self.runs, 16), dtype=np.uint8))

    @cached_property
    def outcome(self) -> NDArray[np.uint8]:
        """Digest of what each run is as a reference, shape ``(run, 16)``."""
        return self._per_run("outcome", np.zeros((self.runs, 16), dtype=np.uint8))

    @cached_property
    def threshold(self) -> NDArray[np.float32]:
        """Threshold of the total score of each run; NaN where there is none."""
        return self._per_run("threshold", np.full(self.runs, np.nan, dtype=np.float32))

    def thresholds(self, run_index: int, rows: int) -> NDArray[np.float32]:
        """Threshold of the total score in each row of a run; NaN where there is none."""
        if self.group is None or "threshold_of_row" not in self.group:
            return np.repeat(self.threshold[run_index], rows)
        stored = self.block("threshold_of_row", run_index, slice(0, rows))
        return np.where(np.isnan(stored), self.threshold[run_index], stored)

    def null_block(
        self, run_index: int, columns: slice, comparisons: Sequence[str], summaries: Sequence[str]
    ) -> NDArray[np.float64]:
        """Stored null models of a run, shape ``(histogram, comparison, summary, 3)``; NaN where it has none."""
        assert self.group is not None, "asked for null models where no scores are stored"
        values = self.block("null", run_index, columns).astype(np.float64)
        known = self.comparisons, _names(self.group, "nulls")
        for axis, wanted, stored in zip((1, 2), (comparisons, summaries), known, strict=True):
            index = [stored.index(name) if name in stored else -1 for name in wanted]
            values = np.take(values, index, axis=axis)
            values[(slice(None),) * axis + (np.equal(index, -1),)] = np.nan
        return values

    def lines(self, run_indices: Sequence[int]) -> list[str]:
        """Findings of some runs, a JSON line each."""
        if self.group is None:
            return []
        stored = self.group["flags"]  # without the runs that came since
        there = [run_index for run_index in run_indices if run_index < stored.shape[0]]
        lines: list[str] = []
        for first in range(0, len(there), _RUNS_AT_ONCE):
            for text in stored.oindex[there[first : first + _RUNS_AT_ONCE]]:
                lines += bytes(text).rstrip(b"\0").decode().splitlines()
        return lines


def _names(group: zarr.Group, what: str) -> list[str]:
    """Names along an axis of a group."""
    with reading(f"{group.path}: the list of its {what}"):
        names: Any = group.attrs[what]
        if not isinstance(names, list):
            raise TypeError(f"{type(names).__name__}, expected a list")
        return [str(name) for name in names]


@dataclass
class _Writer:
    """Writes one group of a store within a transaction; ``store`` is the root group."""

    store: zarr.Group
    subsystem: str

    @property
    def _room(self) -> tuple[int, int]:
        """Runs and times that the raw arrays have room for."""
        n_runs, n_times = self.store[f"raw/{self.subsystem}/time"].shape
        return n_runs, n_times


class TrendWriter(_Writer):
    """Writes the trends of one subsystem."""

    def prepare(self, histograms: Sequence[str], reductors: Sequence[str]) -> None:
        """Make room; stored trends of other runs and reductors stay."""
        group = self.store.require_group(f"trends/{self.subsystem}")
        if "state" not in group:  # new, or of a layout that nothing reads any more
            for name in list(group.array_keys()):
                del group[name]
            group.attrs.put({"reductors": list(reductors)})
            create_trends(group, len(histograms), len(reductors))
        names = _extended_names(group, "reductors", reductors)
        n_runs, n_times = self._room
        if "version" not in group:
            create_trend_origin(group, len(names))
            grow(group["version"], n_runs)
            computed = np.flatnonzero(group["revision"][:] > 0)
            group["version"].oindex[computed, slice(None)] = versions.BEFORE_VERSIONS
        for name in TREND_ARRAYS:
            grow(group[name], n_runs, n_times, len(histograms), len(names))
            grow(group[f"run_{name}"], n_runs, len(histograms), len(names))
        grow(group["state"], n_runs, n_times, len(histograms))
        if "run_state" not in group:
            create_run_states(group)
        grow(group["run_state"], n_runs, len(histograms))
        grow(group["version"], n_runs, len(names))
        for name in ("revision", "settings"):
            grow(group[name], n_runs)
        stored = len(read_log(group, "histograms"))
        append_log(group, "histograms", histograms[stored:])

    def write(
        self, reductors: Sequence[str], runs: Mapping[int, dict[str, NDArray[Any]]],
        revisions: Mapping[int, int], settings: bytes, first: int = 0,
    ) -> None:  # fmt: skip
        """Write the trends of some runs, from row ``first`` on.

        Parameters
        ----------
        runs
            By run index the arrays of `owtrend.trends.run_trends.run_trends`.
        revisions
            By run index the revision of the run from which they were made.
        settings
            Hash of the settings.
        """
        group = self.store[f"trends/{self.subsystem}"]
        stored = list(group.attrs["reductors"])
        axes = {"value": 2, "error": 2, "run_value": 1, "run_error": 1}
        whole = {
            run_index: arrays | {name: _aligned(arrays[name], axis, reductors, stored) for name, axis in axes.items()}
            for run_index, arrays in runs.items()
        }
        _write_detail(group, TREND_DETAIL, whole, first)
        _write_runs(group, "run_state", self._run_states(group, runs, first))
        for name in TREND_ARRAYS:
            _write_runs(group, f"run_{name}", {run_index: arrays[f"run_{name}"] for run_index, arrays in whole.items()})
        _write_runs(group, "revision", {run_index: revisions[run_index] for run_index in whole})
        _write_runs(group, "version", dict.fromkeys(whole, np.isin(stored, reductors) * versions.TRENDS))
        _write_runs(group, "settings", dict.fromkeys(whole, _as_numbers(settings)))

    def write_reductors(
        self, reductors: Sequence[str], kept: Sequence[str], runs: Mapping[int, dict[str, NDArray[Any]]],
        settings: bytes,
    ) -> None:  # fmt: skip
        """Write some reductors of runs whose other trends stay as they are.

        Parameters
        ----------
        reductors
            Those of ``runs``, as in `write`.
        kept
            All that are kept now: trends of others no longer count.
        """
        group = self.store[f"trends/{self.subsystem}"]
        stored = list(group.attrs["reductors"])
        columns = [stored.index(name) for name in reductors]
        for run_index, arrays in runs.items():
            if columns:
                for name in TREND_ARRAYS:
                    rows, histograms = arrays[name].shape[:2]
                    group[name].oindex[run_index, slice(rows), slice(histograms), columns] = arrays[name]
                    group[f"run_{name}"].oindex[run_index, slice(histograms), columns] = arrays[f"run_{name}"]
            made_by = np.where(np.isin(stored, kept), group["version"][run_index, : len(stored)], 0)
            made_by[columns] = versions.TRENDS
            group["version"][run_index, : len(stored)] = made_by
        _write_runs(group, "settings", dict.fromkeys(runs, _as_numbers(settings)))

    def _run_states(
        self, group: zarr.Group, runs: Mapping[int, dict[str, NDArray[Any]]], first: int
    ) -> dict[int, NDArray[np.uint8]]:
        """Bits of the states of all rows of some runs, of which those from ``first`` on are new."""
        states = {run_index: np.bitwise_or.reduce(arrays["state"], axis=0) for run_index, arrays in runs.items()}
        if not first:
            return states
        before = {run_index: group["run_state"][run_index, : len(states[run_index])] for run_index in states}
        return {run_index: states[run_index] | known for run_index, known in before.items() if known.any()}

    def amend(
        self, reductors: Sequence[str], run_index: int, amended: Sequence[tuple[int, int, int, float, float]]
    ) -> None:
        """Write single numbers of a run that are known better now: row, histogram, reductor, value and error."""
        group = self.store[f"trends/{self.subsystem}"]
        stored = list(group.attrs["reductors"])
        for target in sorted({one[2] for one in amended}):
            of_target = zip(*(one for one in amended if one[2] == target), strict=True)
            row, column, _, *numbers = map(np.array, of_target)
            rows = slice(int(row.min()), int(row.max()) + 1)
            where = run_index, rows, slice(None), stored.index(reductors[target])
            for name, values in zip(TREND_ARRAYS, numbers, strict=True):
                block = group[name][where]
                block[row - rows.start, column] = values
                group[name][where] = block


class ScoreWriter(_Writer):
    """Writes the scores of one subsystem."""

    def prepare(self, histograms: int, axes: Mapping[str, Sequence[str]]) -> None:
        """Make room; stored scores of other runs stay.

        Parameters
        ----------
        histograms
            How many there are.
        axes
            Names along the dims: ``scores``, ``looks`` and ``nulls``.
        """
        group = self.store.require_group(f"scores/{self.subsystem}")
        if "z" not in group:
            create_scores(group, histograms, *(len(axes[name]) for name in ("scores", "looks", "nulls")))
        axes = {**axes, "families": list(versions.SCORES)}
        sizes = {name: len(_extended_names(group, name, names)) for name, names in axes.items()}
        n_runs, n_times = self._room
        if "version" not in group:
            create_score_origin(group, sizes["families"])
            grow(group["version"], n_runs)
            group["version"].oindex[np.flatnonzero(group["revision"][:] > 0), slice(None)] = versions.BEFORE_VERSIONS
        if "threshold_of_row" not in group:
            create_row_thresholds(group)
        over_time = n_runs, n_times, histograms, sizes["scores"]
        for name in SCORE_DETAIL:
            grow(group[name], *over_time[: group[name].ndim])
        grow(group["null"], n_runs, histograms, sizes["looks"], sizes["nulls"])
        grow(group["version"], n_runs, sizes["families"])
        for name in ("flags", "revision", "basis", "outcome", "threshold", "settings"):
            grow(group[name], n_runs)

    def write(
        self, axes: Mapping[str, Sequence[str]], runs: Mapping[int, dict[str, NDArray[Any]]],
        lines: Mapping[int, Sequence[str]], made_from: Mapping[int, tuple[int, bytes, bytes, float]], settings: bytes,
        first: int = 0,
    ) -> None:  # fmt: skip
        """Write the scores of some runs, from row ``first`` on.

        Parameters
        ----------
        axes
            Names along the dims of the arrays, as in `prepare`.
        runs
            By run index the arrays.
        lines
            By run index the findings, as JSON lines.
        made_from
            By run index the revision of the run, the digests ``basis`` and ``outcome``, and the threshold.
        settings
            Hash of the settings.
        """
        group = self.store[f"scores/{self.subsystem}"]
        stored = {name: list(group.attrs[name]) for name in (*axes, "families")}
        spread = {}
        for run_index, arrays in runs.items():
            null = _aligned(arrays["null"], 1, axes["looks"], stored["looks"])
            null = _aligned(null, 2, axes["nulls"], stored["nulls"])
            z = _aligned(arrays["z"], 2, axes["scores"], stored["scores"])
            spread[run_index] = {**arrays, "z": z, "null": null}
        _write_detail(group, SCORE_DETAIL, spread, first)
        _write_runs(group, "null", {run_index: arrays["null"] for run_index, arrays in spread.items()})
        texts = {run_index: "".join(f"{line}\n" for line in lines[run_index]).encode() for run_index in spread}
        flags = group["flags"]
        grow(flags, 0, max(map(len, texts.values()), default=0))
        if width := flags.shape[1]:
            _write_runs(group, "flags", {at: _as_numbers(text.ljust(width, b"\0")) for at, text in texts.items()})
        for column, name in enumerate(("revision", "basis", "outcome", "threshold")):
            values = {run_index: made_from[run_index][column] for run_index in spread}
            _write_runs(group, name, {at: _as_numbers(value) for at, value in values.items()})
        families = [versions.SCORES.get(family, 0) for family in stored["families"]]
        _write_runs(group, "version", dict.fromkeys(spread, families))
        _write_runs(group, "settings", dict.fromkeys(spread, _as_numbers(settings)))

    def amend(
        self, run_index: int, first: int, z: Mapping[str, NDArray[np.float32]], flagged: NDArray[np.uint8]
    ) -> None:
        """Write some scores, by name, and the flags of rows from ``first`` on again."""
        group = self.store[f"scores/{self.subsystem}"]
        stored = stored_names(group, "scores")
        rows, columns = slice(first, first + len(flagged)), slice(0, flagged.shape[1])
        for name, values in z.items():
            group["z"][run_index, rows, columns, stored.index(name)] = values
        group["flagged"][run_index, rows, columns] = flagged


def _extended_names(group: zarr.Group, what: str, names: Sequence[str]) -> list[str]:
    """Add names along an axis of a group behind those it has; returns all."""
    stored = stored_names(group, what)
    joined = list(dict.fromkeys([*stored, *names]))
    if joined != group.attrs.get(what):
        group.attrs[what] = joined
    return joined


def _aligned(values: NDArray[Any], axis: int, names: Sequence[str], stored: Sequence[str]) -> NDArray[Any]:
    """Values along an axis of ``names``, put where ``stored`` has these names; NaN elsewhere."""
    if list(names) == list(stored):
        return values
    out = np.full((*values.shape[:axis], len(stored), *values.shape[axis + 1 :]), np.nan, dtype=values.dtype)
    np.moveaxis(out, axis, 0)[[stored.index(name) for name in names]] = np.moveaxis(values, axis, 0)
    return out


def _write_detail(
    group: zarr.Group, names: Sequence[str], runs: Mapping[int, Mapping[str, NDArray[Any]]], first: int
) -> None:
    """Write arrays over (run, time, ...), by run index, from row ``first`` on."""
    for name in names:  # the runs of a chunk together, and chunks whole: else each is read first
        array = group[name]
        for run_indices in _neighbours_in_chunk(sorted(runs), array.chunks[0]):
            values = [runs[run_index][name] for run_index in run_indices]
            rows = -(-max(map(len, values)) // array.chunks[1]) * array.chunks[1]
            if first:
                rows = len(values[0])
            shape = len(run_indices), min(rows, array.shape[1]), *values[0].shape[1:]
            block = np.full(shape, array.fill_value, dtype=array.dtype)
            for target, one in zip(block, values, strict=True):
                target[: len(one)] = one
            where = slice(first, first + shape[1]), *(slice(0, size) for size in shape[2:])
            array[(slice(run_indices[0], run_indices[-1] + 1), *where)] = block


def _as_numbers(value: Any) -> Any:
    """Bytes as numbers; all else as it is."""
    return np.frombuffer(value, dtype=np.uint8) if isinstance(value, bytes) else value


def _write_runs(group: zarr.Group, name: str, values: Mapping[int, Any]) -> None:
    """Write what an array has of some runs, by run index, in one step: many runs share a chunk."""
    if values:
        run_indices = sorted(values)
        block = np.array([values[run_index] for run_index in run_indices])
        group[name].oindex[(run_indices, *(slice(0, size) for size in block.shape[1:]))] = block


def _neighbours_in_chunk(run_indices: Sequence[int], chunk: int) -> Iterator[list[int]]:
    """Neighbouring places that lie in one chunk, together."""
    neighbours: list[int] = []
    for run_index in run_indices:
        if neighbours and (run_index != neighbours[-1] + 1 or run_index // chunk != neighbours[0] // chunk):
            yield neighbours
            neighbours = []
        neighbours.append(run_index)
    if neighbours:
        yield neighbours
