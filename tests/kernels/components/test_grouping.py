"""Groups of cells that change together: tables made by hand."""

import numpy as np
import pytest

from owtrend.kernels.components import grouping

REPORTS = np.array([[1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0]], dtype=bool).T


def test_cells_of_two_groups_that_always_change_fall_into_two():
    owner = np.array([0, 1, 1, 0, 1])
    busiest, group = grouping.begun(REPORTS[:, owner])
    assert sorted(busiest.tolist()) == [0, 1, 2, 3, 4]
    assert len({(owner[cell], number) for cell, number in zip(busiest, group, strict=True)}) == 2


@pytest.mark.parametrize("chance", [1.0, 0.6, 0.1])
def test_cells_of_one_group_stay_together_however_rarely_they_change(chance):
    rng = np.random.default_rng(3)
    changed = np.tile(REPORTS[:, :1], (20, 60)) & (rng.random((240, 60)) < chance)
    assert changed.any(axis=0).all()
    assert (grouping.begun(changed)[1] == 0).all()


def test_each_cell_is_assigned_to_the_group_that_changes_when_it_does():
    seen = REPORTS * np.array([30.0, 20.0])
    changed = np.column_stack([REPORTS[:, 0], REPORTS[:, 1], REPORTS[:, 1] & (np.arange(12) == 4)])
    best, margin = grouping.assigned(changed, seen, np.array([-1, -1, -1]))
    assert best.tolist() == [0, 1, 1]
    assert margin[1] == pytest.approx(4 * margin[2])
    assert margin[2] == pytest.approx(np.log((20.05 / 80.6) / (0.05 / 120.6)))


def test_a_cell_is_no_evidence_for_its_own_group():
    """Alone in its group it is nowhere: any group that ever changed with it is likelier."""
    changed = np.column_stack([REPORTS[:, 0], REPORTS[:, 0]])
    seen = np.stack([REPORTS[:, 0], REPORTS[:, 0]], axis=1).astype(float)
    best, _ = grouping.assigned(changed, seen, np.array([0, 1]))
    assert best.tolist() == [1, 0]


def test_a_group_reports_where_it_has_more_than_strays():
    seen = np.array([[40.0, 2.0], [0.0, 0.0], [1.0, 1.0], [38.0, 0.0]])
    assert grouping.support(seen).tolist() == [[True, True], [False, False], [False, True], [True, False]]


def test_halves_of_one_group_are_alike_and_two_groups_are_not():
    seen = np.stack([30 * REPORTS[:, 0], 20 * REPORTS[:, 1], 25 * REPORTS[:, 0]], axis=1).astype(float)
    assert grouping.alike(seen, np.array([30, 20, 25])).tolist() == [0, 1, 0]


def test_a_few_cells_of_thousands_that_agree_by_luck_make_no_group():
    """Six cells with two changes each, in the same two of forty reports, and 4,000 that change everywhere."""
    seen = np.zeros((40, 2))
    seen[:, 0], seen[[7, 30], 1] = 300, 6
    assert grouping.alike(seen, np.array([4000, 6])).tolist() == [0, 0]
    assert grouping.alike(seen, np.array([6, 6])).tolist() == [0, 1]  # half of all cells are no choice


def test_a_group_whose_changes_are_all_in_reports_of_another_is_part_of_it():
    reports = np.tile(REPORTS, (4, 1))
    half = reports[:, 0] & (np.arange(48) < 24)
    seen = np.stack([30 * reports[:, 0], 9 * reports[:, 1], 8 * half], axis=1).astype(float)
    assert grouping.merged(seen, 0.02, 1e-3).tolist() == [0, 1, 0]


def test_a_group_is_no_part_of_one_that_reports_in_nearly_every_snapshot():
    reports = np.tile(REPORTS, (4, 1))
    always = np.ones(48)
    always[5] = 0
    seen = np.stack([30 * always, 9 * reports[:, 1]], axis=1)
    assert grouping.merged(seen, 0.02, 1e-3).tolist() == [0, 1]
