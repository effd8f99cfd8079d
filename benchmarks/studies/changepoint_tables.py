"""Tables of `owtrend.kernels.series.changepoint_null`: size of the clearest change in series without one.

``python -m benchmarks.studies.changepoint_tables`` simulates normal points and prints them, in ten minutes on one core.
"""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.series.changepoint import CLIP, SHORTEST, strongest
from owtrend.kernels.series.changepoint_null import CHANCES, POINTS
from owtrend.kernels.series.noise import clipped, noise


def clearest(trials: int, points: int, given: bool, seed: int) -> NDArray[np.float64]:
    """Penalty above which each of some series of normal points has no change."""
    random = np.random.default_rng(seed)
    penalties, errors = np.empty(trials), np.ones(points)
    for trial in range(trials):
        value = random.standard_normal(points)
        factor, _, _ = noise(value, errors, given)
        sigma = errors * factor
        penalties[trial] = strongest(clipped(value, sigma, CLIP), sigma, SHORTEST)
    return penalties


def main() -> None:
    """Print both tables."""
    for given in (True, False):
        print(f"given={given}: {CHANCES}")
        for points in POINTS:
            trials = int(min(100_000, 3e7 / points))
            quantiles = np.quantile(clearest(trials, points, given, 20_180_601), 1 - np.array(CHANCES))
            print(f"    ({', '.join(f'{one:.2f}' for one in quantiles)}),  # {points}", flush=True)


if __name__ == "__main__":
    main()
