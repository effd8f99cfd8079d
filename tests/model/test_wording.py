"""Words of findings: runs, names, numbers, bins."""

import numpy as np

from owtrend.model.axis import Axis
from owtrend.model.wording import bin_place, name_list, plural, run_names

AXES = (Axis.spaced(20, 0, 10, "energy [GeV]"),)


def test_bins_are_named_by_title_label_or_flow():
    labelled = Axis(np.arange(4.0), title="", labels={2: "edge"})
    assert bin_place((AXES[0], labelled), 0 + 22 * 2) == "energy [GeV] below 0, y edge"
    assert bin_place((AXES[0],), 21) == "energy [GeV] from 10 on"


def test_several_things_are_named_in_short():
    assert [run_names(runs) for runs in ([], [7], [7, 9, 11])] == ["no other run", "run 7", "3 runs, 7 to 11"]
    assert [name_list(names) for names in (["a"], ["a", "b", "c"])] == ["a", "a and 2 more"]
    assert [plural(number, "snapshot") for number in (1, 3)] == ["1 snapshot", "3 snapshots"]
