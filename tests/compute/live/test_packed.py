"""The state of a run comes back as it was, to the last digit."""

from dataclasses import replace

import numpy as np
import pytest

from owtrend.compute.live.packed import pack, unpack
from owtrend.model.axis import Axis

WHOLE = Axis.spaced(10, -1.5, 1.5, "eta")


@pytest.mark.parametrize(
    "axis",
    [
        pytest.param(WHOLE, id="regular"),
        pytest.param(replace(WHOLE, edges=WHOLE.edges[2:9]), id="part-of-a-regular-one"),
        pytest.param(Axis(np.array([0, 0.1, 0.7]), regular=False), id="variable"),
        pytest.param(replace(Axis.spaced(2, 0, 2), labels={1: "a", 2: "b"}), id="labelled"),
    ],
)
def test_an_axis_is_the_same_after_it_was_kept(axis):
    (back,) = unpack(pack([axis]))
    assert back == axis
    assert (back.title, back.regular) == (axis.title, axis.regular)
