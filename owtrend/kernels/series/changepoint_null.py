"""Clearest change of a series that has none: penalties and chances, from simulation."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANCES", "POINTS", "chance", "penalty", "threshold"]

POINTS = (6, 8, 10, 15, 20, 30, 60, 100, 200, 500, 1000, 2000, 5000)
CHANCES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)

# By benchmarks/studies/changepoint_tables.py: quantiles of `owtrend.kernels.series.changepoint.strongest` for normal
# points.
GIVEN = (
    (0.44, 1.60, 2.62, 3.73, 5.26, 6.50, 7.72, 9.46),  # 6
    (1.12, 2.65, 3.88, 5.12, 6.80, 8.12, 9.42, 11.16),  # 8
    (1.60, 3.29, 4.58, 5.86, 7.55, 8.90, 10.33, 12.05),  # 10
    (2.39, 4.17, 5.49, 6.82, 8.64, 9.95, 11.22, 13.00),  # 15
    (2.84, 4.65, 6.00, 7.33, 9.12, 10.49, 11.93, 13.66),  # 20
    (3.46, 5.31, 6.63, 7.98, 9.73, 11.09, 12.40, 14.18),  # 30
    (4.46, 6.27, 7.55, 8.88, 10.57, 11.92, 13.28, 15.30),  # 60
    (5.11, 6.87, 8.13, 9.42, 11.20, 12.53, 13.85, 15.81),  # 100
    (5.97, 7.67, 8.88, 10.08, 11.80, 13.07, 14.48, 16.38),  # 200
    (7.06, 8.66, 9.79, 10.98, 12.55, 13.72, 15.01, 16.72),  # 500
    (7.85, 9.37, 10.45, 11.57, 13.09, 14.34, 15.69, 17.39),  # 1000
    (8.62, 10.07, 11.12, 12.14, 13.74, 14.92, 16.13, 17.94),  # 2000
    (9.61, 11.03, 11.96, 12.96, 14.22, 15.41, 16.53, 18.37),  # 5000
)
ESTIMATED = (
    (0.56, 2.22, 3.95, 6.15, 9.50, 12.14, 15.08, 18.64),  # 6
    (1.30, 3.33, 5.28, 7.56, 11.27, 14.53, 18.12, 23.55),  # 8
    (1.81, 3.99, 5.94, 8.13, 11.75, 14.84, 18.40, 23.85),  # 10
    (2.58, 4.83, 6.72, 8.83, 11.98, 14.71, 18.02, 22.60),  # 15
    (2.97, 5.20, 7.01, 8.93, 11.80, 14.25, 16.70, 19.86),  # 20
    (3.59, 5.78, 7.45, 9.26, 11.75, 13.88, 15.95, 19.03),  # 30
    (4.54, 6.62, 8.15, 9.69, 11.87, 13.50, 15.27, 17.56),  # 60
    (5.17, 7.14, 8.54, 10.01, 12.07, 13.69, 15.29, 17.64),  # 100
    (6.02, 7.84, 9.15, 10.46, 12.30, 13.73, 15.29, 17.48),  # 200
    (7.09, 8.76, 9.96, 11.17, 12.77, 14.04, 15.36, 17.22),  # 500
    (7.87, 9.44, 10.54, 11.69, 13.25, 14.57, 15.89, 17.64),  # 1000
    (8.63, 10.10, 11.17, 12.27, 13.76, 15.08, 16.38, 18.16),  # 2000
    (9.63, 11.03, 12.02, 12.99, 14.25, 15.54, 16.55, 18.29),  # 5000
)


def _quantiles(points: int, estimated: bool) -> NDArray[np.float64]:
    """For each of CHANCES, interpolated in the logarithm of the number of points, and extrapolated above the last."""
    table = np.array(ESTIMATED if estimated else GIVEN)
    if points >= POINTS[-1]:
        slope = (table[-1] - table[-3]) / np.log(POINTS[-1] / POINTS[-3])
        return table[-1] + slope * np.log(points / POINTS[-1])
    at = np.log(max(points, POINTS[0]))
    return np.array([np.interp(at, np.log(POINTS), column) for column in table.T])


def penalty(points: int, estimated: bool, false_rate: float) -> float:
    """The penalty at which a share ``false_rate`` of stationary series has a change.

    Beyond the table linear in its logarithm. ``estimated``: errors are taken from the scatter of the points.
    """
    quantiles, logs = _quantiles(points, estimated), np.log(CHANCES)
    wanted = np.log(false_rate)
    if wanted >= logs[-1]:
        return float(np.interp(-wanted, -logs, quantiles))
    return float(quantiles[-1] + (logs[-1] - wanted) / _tail(quantiles))


def chance(points: int, estimated: bool, strength: float) -> float:
    """With which chance the clearest change of a stationary series is at least this clear.

    ``strength`` is a gain of chi2 per change. From 0.5 up it is bounded by 1 only roughly: such is no change.
    """
    quantiles, logs = _quantiles(points, estimated), np.log(CHANCES)
    if strength <= quantiles[0]:
        return float(1 - (1 - CHANCES[0]) * max(strength, 0.0) / quantiles[0])
    if strength <= quantiles[-1]:
        return float(np.exp(np.interp(strength, quantiles, logs)))
    return float(np.exp(logs[-1] - _tail(quantiles) * (strength - quantiles[-1])))


def _tail(quantiles: NDArray[np.float64]) -> float:
    """Slope of the logarithm of the chance beyond the table: as at its end."""
    return float(np.log(CHANCES[-4] / CHANCES[-1]) / (quantiles[-1] - quantiles[-4]))


def threshold(every: float) -> float:
    """Threshold of `owtrend.kernels.series.glr.alarms` for one false alarm in at least ``every`` stationary points.

    A fit to 1.5 million normal points per value, 200 to 50,000 points between alarms; runs of 60 points have
    half as many.
    """
    return float(np.log(every) - 0.65) / 0.455
