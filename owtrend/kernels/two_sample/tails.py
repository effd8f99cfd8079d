"""Logarithms of tail probabilities, of normal and of binomial variables, and the normal z that they are worth."""

import math

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.two_sample.beta_binomial import normal_quantile

__all__ = ["clustered_tail", "log_p_of_repeat", "log_tail", "log_upper", "student", "z_of", "z_of_log_p"]

Floats = NDArray[np.float64]

_LOG_2 = 0.6931471805599453
_LOG_2PI = 1.8378770664093453
# Probabilities near 1 are not distinguished: they were multiplied by the number of trials, so they are only bounds.
_NEAR_ONE = 1e-4


@compiled
def log_upper(z: float) -> float:
    """Log of a normal variable's probability beyond z."""
    if z < 6:
        return math.log(0.5 * math.erfc(z * 0.7071067811865476))
    s = 1 / (z * z)
    return -0.5 * (z * z + _LOG_2PI) - math.log(z) + math.log1p(-s * (1 - 3 * s * (1 - 5 * s * (1 - 7 * s))))


@compiled
def log_tail(d: float, r: float, p: float) -> float:
    """Log of the smaller tail of d of d + r counts with probability p each, d itself included."""
    m, q = d + r, 1 - p
    if d < m * p:  # the other side, mirrored
        d, r, p, q = r, d, q, p
    if m * p * q > 400 and r > 20:
        share = d / m
        w2 = 2 * (d * math.log(share / p) + r * math.log((1 - share) / q))
        if w2 < 1e-6:
            return -_LOG_2
        w = math.sqrt(w2)
        # Barndorff-Nielsen's r*, with half a count for d itself.
        low = (d - 0.5) / m
        w2 = 2 * m * (low * math.log(low / p) + (1 - low) * math.log((1 - low) / q))
        if low <= p or w2 < 1e-6:
            return -_LOG_2
        w = math.sqrt(w2)
        u = 2 * math.sinh(0.5 * math.log(low * q / ((1 - low) * p))) * math.sqrt(m * low * (1 - low))
        return log_upper(w + math.log(u / w) / w)
    log_point = math.lgamma(m + 1) - math.lgamma(d + 1) - math.lgamma(r + 1)
    log_point += (d * math.log(p) if d > 0 else 0.0) + (r * math.log(q) if r > 0 else 0.0)
    total, term, odds = 1.0, 1.0, p / q
    while r > 0:
        term *= odds * r / (d + 1)
        if term < 1e-12 * total:
            break
        total += term
        d += 1
        r -= 1
    return min(log_point + math.log(total), -0.0)


@compiled
def z_of_log_p(log_p: float) -> float:
    """Normal z with an upper tail of exp(log_p); see `z_of`."""
    if log_p != log_p:
        return np.nan
    if log_p <= -_LOG_2:
        return normal_quantile(log_p)
    return -normal_quantile(math.log(max(-math.expm1(min(log_p, 0.0)), _NEAR_ONE)))


@compiled
def clustered_tail(d: float, r: float, p: float, dispersion: float) -> float:
    """As `log_tail`, of counts whose variance is ``dispersion`` times that of independent fills.

    Where it is more, both are negative binomial, and d given the sum d + r = m is beta-binomial, with m p / (dispersion
    - 1) and m q / (dispersion - 1). It is less for a bin with much of all counts, whose total is fixed.
    """
    m, q = d + r, 1 - p
    if d < m * p:
        d, r, p, q = r, d, q, p
    if dispersion < 1.0001:
        upper = max((d - 0.5) / dispersion + 0.5, 0.0)  # a count stays a count
        return log_tail(upper, max(m / dispersion - upper, 0.0), p)
    if m * p * q > 1500 * dispersion and r > 20 * dispersion:  # its skewness is small
        return log_tail(d / dispersion, r / dispersion, p)
    a, b = m * p / (dispersion - 1), m * q / (dispersion - 1)
    log_point = math.lgamma(m + 1) - math.lgamma(d + 1) - math.lgamma(r + 1)
    log_point += math.lgamma(d + a) + math.lgamma(r + b) - math.lgamma(m + a + b)
    log_point -= math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    total, term = 1.0, 1.0
    while r >= 1:
        term *= r * (a + d) / ((d + 1) * (b + r - 1))
        if term < 1e-12 * total:
            break
        total += term
        d += 1
        r -= 1
    return min(log_point + math.log(total), -0.0)


@compiled
def student(log_p: float, freedom: float) -> float:
    """Log of a two-sided tail of a deviation whose unit was itself learned from so many degrees of freedom.

    The normal z becomes Student's t, which is made a normal variable again (Wallace, Ann. Math. Stat. 30 (1959) 1124).
    """
    if not (freedom < 1e4 and log_p < -_LOG_2):
        return log_p
    z = z_of_log_p(log_p - _LOG_2)
    z = math.sqrt(freedom * math.log1p(z * z / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return min(log_upper(z) + _LOG_2, 0.0)


@compiled
def log_p_of_repeat(counts: Floats) -> float:
    """Log of the largest probability that Poisson counts are these, whatever their means: their own."""
    total = 0.0
    for count in counts:
        if count > 0:
            total += count * math.log(count) - count - math.lgamma(count + 1)
    return total


@compiled
def z_of(log_p: Floats) -> Floats:
    """Normal z with upper tails of exp(log_p): negative beyond a half, but not below -3.7; NaN stays."""
    out = np.empty_like(log_p)
    for i in range(log_p.size):
        out.flat[i] = z_of_log_p(log_p.flat[i])
    return out
