"""Cells that change in the same snapshots, however few of their changes are seen: groups of columns of a table."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["alike", "assigned", "begun", "merged", "support"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

_SEEN_BY_CHANCE = 1.1  # times the largest singular value of a table in which only chance groups the cells
_MOST = 4096  # busiest cells, which the groups are taken from
_ELSEWHERE = 0.05  # of a change, added in each snapshot: a group may have reported in it unseen
_BLOCK = 8192


def begun(changed: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """The busiest cells, and a first group for each, by correspondence analysis.

    Each change is divided by the roots of the numbers of changes in its snapshot and in its cell. Then each group of
    cells adds one large singular value to those of chance, which come from the same table with the changes of each cell
    shuffled. The groups are the directions of the cells that point farthest from each other in the space of these
    vectors (Damle, Minden & Ying 2019).

    Parameters
    ----------
    changed
        Whether each cell changed in each snapshot, shape ``(snapshot, cell)``, each at least once.
    """
    busiest = np.argsort(-changed.sum(axis=0), kind="stable")[:_MOST]
    table = changed[:, busiest]
    table = table[table.any(axis=1)]
    values, vectors = _analysed(table)
    rng = np.random.default_rng(len(busiest))
    by_chance = max(_analysed(rng.permuted(table, axis=0))[0][1:2].max(initial=0.0) for _ in range(3))
    groups = 1 + np.count_nonzero(values[1:] > max(_SEEN_BY_CHANCE * by_chance, 1e-4))
    if groups == 1:
        return busiest, np.zeros(len(busiest), dtype=np.intp)
    space, left, pivots = vectors[:groups].T, vectors[:groups].T.copy(), []
    for _ in range(groups):
        pivots.append(int(np.argmax((left**2).sum(axis=1))))
        along = left[pivots[-1]] / np.linalg.norm(left[pivots[-1]])
        left -= np.outer(left @ along, along)
    first, _, last = np.linalg.svd(space[pivots].T)
    return busiest, np.argmax(np.abs(space @ (first @ last)), axis=1)


def _analysed(table: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Singular values, largest first, and their vectors over the cells; the first belongs to the totals."""
    rows, columns = np.sqrt(table.sum(axis=1)), np.sqrt(table.sum(axis=0))
    scaled = table / np.maximum(rows, 1)[:, None] / columns
    wide = scaled.shape[1] > scaled.shape[0]  # the smaller of both products; 20 times as fast as the SVD
    squares, vectors = np.linalg.eigh(scaled @ scaled.T if wide else scaled.T @ scaled)
    values, vectors = np.sqrt(np.maximum(squares[::-1], 0)), vectors[:, ::-1]
    if wide:
        vectors = scaled.T @ vectors / np.maximum(values, 1e-9)
    return values, vectors.T


def assigned(changed: NDArray[np.bool_], seen: Floats, group: Numbers) -> tuple[Numbers, Floats]:
    """The group in which the changes of each cell are likeliest, and the log-likelihood ratio to the next [nats].

    A change of a cell is expected in a snapshot in proportion to the changes of the group's other cells.

    Parameters
    ----------
    changed
        Shape ``(snapshot, cell)``.
    seen
        Changes of all cells of each group, ``(snapshot, group)``.
    group
        Group of each cell in ``seen``, -1 for none: its without_self changes are not counted there.
    """
    snapshots, cells = changed.shape
    best, margin = np.empty(cells, dtype=np.intp), np.full(cells, np.inf)
    totals, few = seen.sum(axis=0), _ELSEWHERE * snapshots
    others, without_self = np.log(seen + _ELSEWHERE), np.log(np.maximum(seen - 1, 0) + _ELSEWHERE)
    for start in range(0, cells, _BLOCK):
        block = np.s_[start : start + _BLOCK]
        block_changes = changed[:, block].astype(np.float64)
        counts, to = block_changes.sum(axis=0), group[block]
        fit = block_changes.T @ others - counts[:, None] * np.log(totals + few)
        inside = np.flatnonzero(to >= 0)
        less = np.log(np.maximum(totals[to[inside]] - counts[inside], 0) + few)
        fit[inside, to[inside]] = (block_changes.T @ without_self)[inside, to[inside]] - counts[inside] * less
        best[block] = np.argmax(fit, axis=1)
        if fit.shape[1] > 1:
            two = np.partition(fit, -2, axis=1)[:, -2:]
            margin[block] = two[:, 1] - two[:, 0]
    return best, margin


def support(seen: Floats) -> NDArray[np.bool_]:
    """Snapshots in which each group reports: those with at least a quarter of its average number of changes."""
    found: NDArray[np.bool_] = (seen > 0) & (4 * seen * len(seen) >= seen.sum(axis=0))
    return found


def alike(seen: Floats, cells: NDArray[np.int64]) -> Numbers:
    """For each group the one that it is merged with, because one group is likelier than two.

    Two at a time, those first that gain most. Compared are Dirichlet-multinomial distributions of the changes over the
    snapshots, with the same information as `assigned`, and the chance to choose these cells for a group: of thousands a
    few can always be found that agree by luck.

    Parameters
    ----------
    seen
        Changes of all cells of each group, ``(snapshot, group)``.
    cells
        Number of cells in each group.
    """
    from scipy.special import gammaln

    few, start, number = _ELSEWHERE * len(seen), float(gammaln(_ELSEWHERE)), float(cells.sum())

    def evidence(counts: Floats, size: float) -> float:
        spread = float((gammaln(counts + _ELSEWHERE) - start).sum())
        return spread + float(gammaln(few) - gammaln(few + counts.sum())) + size * float(np.log(max(size, 1) / number))

    groups = {group: (seen[:, group], float(cells[group])) for group in range(seen.shape[1])}
    alone = {group: evidence(*changes) for group, changes in groups.items()}

    def gain(a: int, b: int) -> float:
        return evidence(groups[a][0] + groups[b][0], groups[a][1] + groups[b][1]) - alone[a] - alone[b]

    to = np.arange(seen.shape[1])
    gains = {(a, b): gain(a, b) for a in groups for b in groups if a < b}
    while gains and max(gains.values()) > 0:
        a, b = max(gains, key=lambda pair: gains[pair])
        counts, size = groups.pop(b)
        groups[a] = groups[a][0] + counts, groups[a][1] + size
        alone[a] = evidence(*groups[a])
        to[to == b] = a
        gains = {pair: known for pair, known in gains.items() if not {a, b} & set(pair)}
        gains |= {(min(a, other), max(a, other)): gain(a, other) for other in groups if other != a}
    return to


def merged(seen: Floats, stray: float, luck: float) -> Numbers:
    """For each group the one that it is part of, since all its changes are in reports of that one; else itself.

    Parameters
    ----------
    stray
        Fraction of the changes that may be elsewhere.
    luck
        Upper limit of the chance that as many reports would all lie there.
    """
    reports = support(seen)
    sizes, totals = reports.sum(axis=0), seen.sum(axis=0)
    to = np.arange(seen.shape[1])
    for group in np.argsort(sizes, kind="stable"):
        for other in np.argsort(sizes, kind="stable"):
            if other == group or (sizes[other], other) < (sizes[group], group) or not totals[group]:
                continue
            elsewhere = seen[~reports[:, other], group].sum()
            chance = len(to) * float(reports[:, other].mean()) ** float(sizes[group])
            if elsewhere <= stray * totals[group] and chance < luck:
                to[group] = other
                break
    for _ in range(len(to)):  # a part of a part
        to = to[to]
    return to
