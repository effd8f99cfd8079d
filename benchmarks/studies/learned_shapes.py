"""False alarms and power of learned shapes and of the isolation forest: the tables of docs/explanation/learned.md.

``python -m benchmarks.studies.learned_shapes`` for shapes that vary; with ``FOLDER`` also for the simulated detector:
it holds ``<seed>-clean`` and ``<seed>-faults``, each with ``store`` and ``truth.json``, as
``benchmarks.studies.shifts --keep`` does.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import xarray as xr

import owtrend
from owtrend.learned.isolation_forest import REDUCTORS, unusual
from owtrend.learned.shape_models import MODELS

LIMIT = 0.01
BINS, COUNTS, RUNS, REPORTS = 100, 50_000, 10, 10
FAULTS = {
    "none": (), "hot channel": (0.001, 0.003, 0.01), "dead region": (0.01, 0.02, 0.05), "drift": (0.02, 0.05, 0.1),
    "mix out of range": (0.8, 0.95),
}  # fmt: skip


def varied(seed: int, runs: int, fault: str = "none", size: float = 0.0) -> xr.Dataset:
    """A falling spectrum with a peak of 10 to 60 % of the counts: two triggers with another mix in each report."""
    rng = np.random.default_rng(seed)
    x = (np.arange(BINS) + 0.5) / BINS
    mix = rng.uniform(0.1, 0.6, (runs * REPORTS, 1)) if fault != "mix out of range" else size
    moved = size * 0.2 if fault == "drift" else 0.0  # 0.2 is the standard deviation of the mean shape
    shapes = [np.exp(-4 * (x - moved)), np.exp(-0.5 * ((x - moved - 0.5) / 0.1) ** 2)]
    rising, peak = (shape / shape.sum() for shape in shapes)
    expected = (mix * peak + (1 - mix) * rising) * COUNTS * rng.uniform(0.7, 1.3, (runs * REPORTS, 1))
    if fault == "hot channel":
        expected[:, BINS // 3] += size * expected.sum(axis=1)
    if fault == "dead region":
        expected[:, 2 * BINS // 5 : 2 * BINS // 5 + round(size * BINS)] = 0
    return histogram(rng.poisson(expected), np.repeat(np.arange(runs), REPORTS))


def histogram(increments: np.ndarray, runs: np.ndarray) -> xr.Dataset:
    """A histogram as from `Archive.histogram`, from increments and their runs."""
    total = np.concatenate([increments[runs == run].cumsum(axis=0) for run in np.unique(runs)])
    edges = np.arange(increments.shape[1] + 1.0)
    times = np.datetime64("2018-06-01", "ns") + np.arange(len(runs)) * np.timedelta64(5, "m")
    entries = total.sum(axis=1, keepdims=True).astype(float)
    return xr.Dataset(
        {"contents": (("snapshot", "x"), total), "sums": (("snapshot", "sum"), entries)},
        coords={
            "time": ("snapshot", times), "run": ("snapshot", runs), "additive": ("snapshot", np.ones(len(runs), bool)),
            "sum": ["entries"], "x": ("x", edges[:-1] + 0.5, {"long_name": "amplitude"}), "x_left": ("x", edges[:-1]),
            "x_right": ("x", edges[1:]),
        },
        attrs={"name": "spectrum", "gauge": False, "flow": False, "variable_axes": (), "error_option": ""},
    )  # fmt: skip


def varying(runs: int = RUNS) -> None:
    """Print the fraction of reports with p < 0.01, by model."""
    models = {name: owtrend.learn_shape(varied(1, runs), name) for name in MODELS}
    reference = varied(1, runs).isel(snapshot=slice(0, 1)).copy()
    reference["contents"][:] = owtrend.increments(varied(1, runs))["contents"].sum("snapshot").values
    print("| fault | size | plain chi2 |", " | ".join(models), "|")
    for fault, sizes in FAULTS.items():
        for size in sizes or (0.0,):
            new = varied(2, 4 * runs, fault, size)
            plain = owtrend.compare(owtrend.increments(new), reference.isel(snapshot=0), scores=["chi2_ndf"])
            found = [float((plain.p_value < LIMIT).mean())]
            found += [float((model.score(new).p_value < LIMIT).mean()) for model in models.values()]
            print(f"| {fault} | {size:g} |", " | ".join(f"{100 * one:.1f} %" for one in found), "|")


def simulated(folder: Path) -> None:
    """Print the same for the simulated detector, whose shapes do not vary, and the forest of all its trends."""
    seeds = sorted(int(path.name.split("-")[0]) for path in folder.glob("*-clean"))
    clean = {seed: owtrend.open(folder / f"{seed}-clean" / "store") for seed in seeds}
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    sizes: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        archive = owtrend.open(folder / f"{seed}-faults" / "store")
        other = clean[seeds[(seeds.index(seed) + 1) % len(seeds)]]
        for fault in json.loads((folder / f"{seed}-faults" / "truth.json").read_text())["faults"]:
            if fault["kind"] not in ("hot_channel", "dead_region", "hv_trip", "drift"):
                continue
            subsystem, name, run = fault["subsystem"], fault["histogram"], fault["run"]
            sizes[fault["kind"]].append(fault["size"])
            for model in MODELS:
                one = clean[seed].learn(subsystem, name, model=model)
                scored = one.score(archive.histogram(subsystem, name, run=run))
                start, stop = (np.datetime64(fault[end][:19], "ns") for end in ("start", "stop"))
                span = scored.time.values - np.timedelta64(6, "m")
                inside = (span >= start) & (scored.time.values <= stop)
                flagged = scored.p_value.values < LIMIT
                hits[fault["kind"], model] += flagged[inside].tolist()
                found[fault["kind"], model].append(bool(flagged[inside].any()))
                hits["none", model] += (one.score(other.histogram(subsystem, name)).p_value.values < LIMIT).tolist()
    for kind, made in sizes.items():
        row = [f"{np.mean(hits[kind, m]):.0%} ({sum(found[kind, m])} of {len(found[kind, m])})" for m in MODELS]
        print(f"| {kind} | {min(made):.2g} to {max(made):.2g} |", " | ".join(row), "|")
    print("| none | |", " | ".join(f"{100 * np.mean(hits['none', m]):.2f} % of {len(hits['none', m])}" for m in MODELS))
    forest(folder, clean)


def forest(folder: Path, clean: dict[int, owtrend.Archive]) -> None:
    """Print the results of the forest; the runs of half of the seeds are the good ones."""
    seeds = list(clean)
    half = seeds[: len(seeds) // 2]
    shares: dict[str, list[bool]] = defaultdict(list)
    found: dict[str, list[bool]] = defaultdict(list)
    for subsystem in ("EMC", "HLT", "TPC"):
        names = [one for one in REDUCTORS if subsystem == "TPC" or not one.endswith("_z")]

        def trends(archive: owtrend.Archive, of: str = subsystem, reductors: list[str] = names) -> xr.Dataset:
            return archive.trends(of, reductors=reductors).load()

        pieces = [trends(clean[seed]).assign_coords(run=trends(clean[seed]).run + 100 * seed) for seed in half]
        good = xr.concat(pieces, dim="snapshot")
        for seed in seeds[len(half) :]:
            shares["none"] += (unusual(good, trends(clean[seed])).p_value.values < LIMIT).tolist()
            archive = owtrend.open(folder / f"{seed}-faults" / "store")
            for fault in json.loads((folder / f"{seed}-faults" / "truth.json").read_text())["faults"]:
                kinds = ("hot_channel", "dead_region", "hv_trip", "drift", "rate_step")
                if fault["kind"] not in kinds or fault["subsystem"] != subsystem:
                    continue
                made = unusual(good, archive.trends(subsystem, reductors=names, run=fault["run"]))
                start, stop = (np.datetime64(fault[end][:19], "ns") for end in ("start", "stop"))
                inside = (made.time.values > start + np.timedelta64(15, "m")) & (made.time.values <= stop)
                shares[fault["kind"]] += (made.p_value.values[inside] < LIMIT).tolist()
                found[fault["kind"]].append(bool((made.p_value.values[inside] < LIMIT).any()))
    for kind, flagged in shares.items():
        share = f"{100 * np.mean(flagged):.1f} % of {len(flagged)}"
        print(f"| forest, {kind} | {share} | {sum(found[kind])} of {len(found[kind])} |")


if __name__ == "__main__":
    varying()
    for argument in sys.argv[1:]:
        simulated(Path(argument))
