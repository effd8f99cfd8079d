"""The scatter of scores while nothing is wrong: never narrower than chance, and hardly wider for one bad run."""

import numpy as np

from owtrend.outliers.monitor import COMPARISONS, SCORES
from owtrend.outliers.null_model import NullModel, summary


def test_the_null_model_is_no_narrower_than_counting_statistics():
    quiet = [np.full((len(COMPARISONS), len(SCORES) + 1), -2.0) + 0.01 * number for number in range(20)]
    null = NullModel.from_reports(quiet)
    assert (null.location == 0).all()
    assert (null.scale == 1).all()
    np.testing.assert_array_equal(NullModel.from_runs([summary(quiet)] * 5).scale, null.scale)


def test_one_bad_run_hardly_widens_the_null_model():
    rng = np.random.default_rng(6)
    good = [summary([rng.normal(size=(len(COMPARISONS), len(SCORES) + 1)) for _ in range(12)]) for _ in range(6)]
    bad = summary([rng.normal(80, 10, size=(len(COMPARISONS), len(SCORES) + 1)) for _ in range(12)])
    null = NullModel.from_runs([*good, bad])
    assert null.location.max() < 0.6
    assert null.scale.max() < 1.6
