import numpy as np
import pytest

from owtrend.compute import compute
from owtrend.config import Config, SubsystemConfig
from owtrend.errors import NotFoundError, UsageError
from tests.builders import archive_of, snapshots

SHAPE = np.array([0, 10, 30, 60, 0])


@pytest.fixture(scope="module")
def archive():
    """Five runs of twelve minutes of one shape, the fourth with a hot bin and twice the rate."""
    rows = []
    for run in range(5):
        increment = SHAPE * (2 if run == 3 else 1) + (np.array([0, 0, 0, 500, 0]) if run == 3 else 0)
        counts = [increment * minute for minute in range(1, 13)]
        counted = [[0, (200 if run == 3 else 100) * minute, 0] for minute in range(1, 13)]
        rows += snapshots({"h": counts, "events": counted}, 300000 + run)
    archive = archive_of(*rows)
    settings = Config(subsystems={"EMC": SubsystemConfig(events="events")})
    compute.compute(archive.location, workers=0, config=settings)
    return archive.latest()


def test_slices_of_several_runs_add_up(archive):
    found = archive.reference("EMC", [300000, 300001])
    assert found.runs == (300000, 300001)
    assert found.histogram("h").values(flow=True).tolist() == (24 * SHAPE).tolist()
    assert found.histogram("h").sums["entries"] == 24 * SHAPE.sum()
    assert found.histogram("h").variances(flow=True).tolist() == (24 * SHAPE).tolist()
    assert found.counted("h") == 2400


def test_an_interval_of_one_run_counts_only_its_events(archive):
    start = archive.runs.loc[300000, "start"]
    found = archive.reference("EMC", 300000, start, start + np.timedelta64(3, "m"))
    assert found.histogram("h").values(flow=True).tolist() == (3 * SHAPE).tolist()
    assert found.events == (300.0,)


@pytest.mark.slow
def test_a_template_is_robust_against_a_bad_run_and_has_a_spread(archive):
    template = archive.reference("EMC", [300000, 300001, 300002, 300003, 300004]).template("h")
    assert template.value.tolist() == pytest.approx((SHAPE / SHAPE.sum()).tolist())
    assert template.slices == 5
    assert (template.spread < 1e-12).all()
    assert np.isnan(archive.reference("EMC", [300000, 300001]).template("h").spread).all()


def test_a_run_is_not_compared_with_itself(archive):
    found = archive.reference("EMC", [300000, 300001])
    assert found.without(300000).runs == (300001,)
    with pytest.raises(NotFoundError, match="nothing is left of the reference without run 300000"):
        archive.reference("EMC", 300000).without(300000)


def test_a_reference_ages(archive):
    found = archive.reference("EMC", 300000)
    assert found.age(found.slices[0].interval.stop + np.timedelta64(2, "D")) == np.timedelta64(2, "D")


@pytest.mark.slow
def test_comparable_runs_are_the_newest_earlier_ones_with_a_similar_rate(archive):
    assert archive.reference("EMC", like=300004, last=2).runs == (300002, 300003)
    assert archive.reference("EMC", like=300004, last=2, rate_within=0.1).runs == (300001, 300002)
    assert archive.reference("EMC", like=300004, leave_out=[300002, 300003], last=1).runs == (300001,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, UsageError, "give its runs, or the run that it is to be like"),
        ({"runs": []}, UsageError, "at least one run"),
        ({"runs": [300000, 300001], "start": "12:00"}, UsageError, "an interval needs a single run; 2 runs were given"),
        ({"like": 300000}, NotFoundError, "none of the 0 runs before 300000 is like it"),
        ({"runs": 1}, NotFoundError, "no run 1"),
    ],
)
def test_an_invalid_reference_is_an_error(archive, arguments, error, message):
    with pytest.raises(error, match=message):
        archive.reference("EMC", **arguments)


@pytest.mark.slow
def test_without_an_event_counter_rates_cannot_be_compared(archive):
    runs = [snapshots({"h": [[0, 1, 0], [0, 2, 0]]}, run, minutes=(0, 15)) for run in (300000, 300001)]
    without = archive_of(*runs[0], *runs[1])
    with pytest.raises(UsageError, match="nothing counts events"):
        without.reference("EMC", like=300001, rate_within=0.1)
    assert without.reference("EMC", like=300001).runs == (300000,)
    with pytest.raises(NotFoundError, match="no histogram 'g'"):
        archive.reference("EMC", 300000).histogram("g")
