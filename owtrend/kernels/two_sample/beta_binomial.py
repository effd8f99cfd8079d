"""AutoDQM's beta-binomial pulls: the chance of each count, given a reference that is counted itself."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["beta_binomial", "log_beta_binomial", "log_factorial", "log_factorials", "normal_quantile", "shrunk"]

Floats = NDArray[np.float64]

_HALF_LOG_2PI = 0.9189385332046727
_TABLE = 2**16  # 512 KiB; beyond, Stirling's series with its first term is exact to the last digit


@cache
def log_factorials() -> Floats:
    """ln(n!) for n below 65,536."""
    from scipy.special import gammaln

    table: Floats = gammaln(np.arange(_TABLE) + 1.0)
    return table


@compiled(inline="always")
def log_factorial(n: float, table: Floats) -> float:
    """ln(n!) of a whole number, from the table of `log_factorials`."""
    if n < _TABLE:
        return table[int(n)]
    return (n + 0.5) * math.log(n) - n + _HALF_LOG_2PI + 1 / (12 * n)


# ln(n!) - ln((n - k)!) in one step: two large numbers would lose the digits that matter (n = 1e9: 4e-6).
@compiled(inline="always")
def _log_falling(n: float, inverse: float, log_n: float, k: float, table: Floats) -> float:
    if n < _TABLE:
        return table[int(n)] - table[int(n - k)]
    share = k * inverse
    if share > 0.1:
        return log_factorial(n, table) - log_factorial(n - k, table)
    log_rest = _log_ratio(-share)
    return k * (log_n - 1) - (n - k + 0.5) * log_rest - share * inverse * (1 + share) / 12


@compiled(inline="always")
def _log_ratio(x: float) -> float:
    """log(1 + x) for |x| up to 0.1, to 1e-16."""
    if abs(x) < 1e-3:
        return x * (1 - x * (0.5 - x * (1 / 3 - x * (0.25 - x * 0.2))))
    w = x / (2 + x)
    s = w * w
    return 2 * w * (1 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * (1 / 9 + s * (1 / 11 + s / 13))))))


@compiled(inline="always")
def _log_near(ratio: float) -> float:
    return _log_ratio(ratio - 1) if abs(ratio - 1) < 0.1 else math.log(ratio)


# 115 Mbin/s, without tolerance 205; SciPy's betabinom.logpmf 12. (One AMD core, 64 rows of 5,000 bins.)
@compiled(error_model="numpy")
def log_beta_binomial(data: Floats, reference: Floats, reference_total: Floats, table: Floats) -> Floats:
    """Log of the probability of the counts of each bin, given the reference and both totals.

    BetaBinomial(d; n, r + 1, R - r + 1), for whole numbers (n over d) (R over r) / (n + R over d + r) (R + 1) /
    (n + R + 1): what a flat prior and a reference r of R leave to expect.

    Parameters
    ----------
    data
        Counts, shape ``(time, cell)``; n is the sum of a row.
    reference, reference_total
        Of `shrunk`, shape ``(cell,)``.
    table
        Of `log_factorials`.
    """
    times, cells = data.shape
    out = np.empty((times, cells))
    own = np.empty(cells)  # what is of the reference alone
    log_whole = np.empty(cells)
    base = reference_total.max()
    log_base = math.log(base)
    for c in range(cells):
        r, whole = reference[c], reference_total[c]
        log_whole[c] = log_base + _log_near(whole / base)
        own[c] = math.log(whole + 1) - log_factorial(r, table)
        own[c] += _log_falling(whole, 1 / whole, log_whole[c], r, table)
    for t in range(times):
        n = data[t].sum()
        log_n, inverse_n = math.log(n), 1 / n
        log_most, inverse_most = math.log(n + base), 1 / (n + base)
        both, log_both, inverse = n + base, log_most, inverse_most
        log_norm = math.log(both + 1)
        for c in range(cells):
            d, r, whole = data[t, c], reference[c], reference_total[c]
            if n + whole != both:  # by the tolerance, where there is much
                both = n + whole
                log_both, inverse = log_most + _log_near(both * inverse_most), 1 / both
                log_norm = log_both + _log_near(1 + inverse)
            out[t, c] = (
                own[c] - log_norm + _log_falling(n, inverse_n, log_n, d, table)
                - _log_falling(both, inverse, log_both, d + r, table)
                - log_factorial(d, table) + log_factorial(d + r, table)
            )  # fmt: skip
    return out


def shrunk(reference: Floats, total: float, tolerance: float) -> tuple[Floats, Floats]:
    """The reference with as many counts as it may be believed to have, per bin: its content and its total.

    A relative difference of ``tolerance`` shall never be significant: both are multiplied by s = (1 + (r tolerance**2)
    **2)**(-1/2), so that no bin has more than 1 / tolerance**2 counts, and rounded (AutoDQM, arXiv:2501.13789).
    """
    s = 1 / np.sqrt(1 + (np.abs(reference) * tolerance**2) ** 2)
    return np.rint(s * reference), np.rint(s * total)


@compiled(inline="always")
def normal_quantile(log_p: float) -> float:
    """Normal z with an upper tail of exp(log_p), at most 1/2: AS 241 (Wichura 1988), beyond it the tail's series."""
    if log_p > -2.590267165445827:  # p > 0.075
        q = 0.5 - math.exp(log_p)
        r = 0.180625 - q * q
        top = ((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
            + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
            + 133.14166789178437745) * r + 3.387132872796366608  # fmt: skip
        low = ((((((5226.495278852854561 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
            + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
            + 42.313330701600911252) * r + 1  # fmt: skip
        return q * top / low
    r = math.sqrt(-log_p)
    if r <= 5:
        r -= 1.6
        top = ((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
            + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
            + 4.6303378461565452959) * r + 1.42343711074968357734  # fmt: skip
        low = ((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
            + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
            + 2.05319162663775882187) * r + 1  # fmt: skip
        return top / low
    if r <= 27:
        r -= 5
        top = ((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
            + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
            + 5.4637849111641143699) * r + 6.6579046435011037772  # fmt: skip
        low = ((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
            + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
            + 0.59983220655588793769) * r + 1  # fmt: skip
        return top / low
    z = r * 1.4142135623730951
    for _ in range(4):
        s = 1 / (z * z)
        z = math.sqrt(-2 * (log_p + _HALF_LOG_2PI + math.log(z) + s * (1 - s * (2.5 - s * 37 / 3))))
    return z


# 35 Mbin/s where SciPy's three probabilities and chi2.isf make 0.8. (One AMD core, 64 rows of 5,000 bins.)
@compiled(error_model="numpy")
def beta_binomial(
    data: Floats, amount: Floats, reference: Floats, reference_total: Floats, by_total: bool, table: Floats
) -> Floats:
    """Pull per bin from the relative probability of its counts, signed by the difference from the expectation.

    With P the probability of d counts given the reference, q = P(d) / max(P(floor mu), P(ceil mu)), and the
    pull is the z of two normal tails of q together (AutoDQM, arXiv:2501.13789, ``chi2.isf(q, 1)``); there is no end to
    it where AutoDQM stops at 37. An empty bin of the reference is no special case: d counts there have a q of
    (t / (1 + t))**d. As q is no smaller than the true tail, the pull is a little small: 2.5 where 3 would be exact.

    Parameters
    ----------
    data
        Counts, shape ``(time, cell)``.
    amount
        What all bins of a row together are expected to have, shape ``(time,)``; with ``by_total`` it is what they have.
    reference, reference_total
        Of `shrunk`, shape ``(cell,)``.
    by_total
        Whether the totals are fixed, so that P is that of `log_beta_binomial`. Else the ratio of amount and reference
        total is known from elsewhere and the counts are Poisson with a mean of a gamma distribution: P is negative
        binomial.
    table
        Of `log_factorials`.

    Returns
    -------
    :
        Shape ``(time, cell)``: 0 where both are empty, NaN where one is negative.
    """
    times, cells = data.shape
    out = np.empty((times, cells))
    for t in range(times):
        n = amount[t]
        share, log_share = -1.0, 0.0
        inverse_base, log_base = 1.0, 0.0  # of a ratio, to take the logarithms of others by series
        last, factor = -1.0, 0.0
        for c in range(cells):
            d, r, whole = data[t, c], reference[c], reference_total[c]
            if not (d >= 0 and r >= 0):
                out[t, c] = np.nan
                continue
            if d == 0 and r == 0:
                out[t, c] = 0.0
                continue
            if whole != last:  # by the tolerance, where there is much
                last, factor = whole, n / whole
            mean = r * factor
            k = math.floor(mean)
            # One count more where that is likelier; by addition, as no processor could guess which way a branch goes.
            if by_total:
                k = min(k, n)
                k += (k < mean) & (k < n) & ((n - k) * (k + r + 1) > (k + 1) * (n - k + whole - r))
            else:
                if factor / (1 + factor) != share:
                    share = factor / (1 + factor)
                    log_share = math.log(share)
                k += (k < mean) & ((k + r + 1) * share > k + 1)
            log_q = (
                log_factorial(d + r, table) - log_factorial(d, table)
                - log_factorial(k + r, table) + log_factorial(k, table)
            )  # fmt: skip
            j = d - k
            if by_total:  # ln of (n - k)! (n - d + R - r)! / (n - d)! / (n - k + R - r)!
                x, y = n - d, n - d + whole - r
                if x > 65536 and abs(j) < 0.1 * x:  # Stirling's, of which the largest terms cancel
                    ratio = (x + j) / (y + j)
                    change = ratio * inverse_base - 1
                    if abs(change) > 0.1:
                        inverse_base, log_base, change = 1 / ratio, math.log(ratio), 0.0
                    of_x, of_y = 1 / x, 1 / y
                    log_q += (
                        j * (log_base + _log_ratio(change)) - j * (of_x * of_x - of_y * of_y) / 12
                        + (x + 0.5) * _log_ratio(j * of_x) - (y + 0.5) * _log_ratio(j * of_y)
                    )  # fmt: skip
                else:
                    log_q += (
                        log_factorial(x + j, table) - log_factorial(x, table)
                        + log_factorial(y, table) - log_factorial(y + j, table)
                    )  # fmt: skip
            else:
                log_q += j * log_share
            out[t, c] = math.copysign(min(log_q, 0.0), d - mean)
        for c in range(cells):  # in a loop of its own: both together take half as long again
            if out[t, c] != 0:
                z = normal_quantile(-abs(out[t, c]) - 0.6931471805599453)
                out[t, c] = math.copysign(z, out[t, c])
    return out
