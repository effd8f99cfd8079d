import json
import math

import pandas as pd
import pytest

from owtrend.model.finding import COLUMNS, Finding, table

MINUTE = 60 * 10**9


def flag(start, stop, subsystem="EMC", histograms=("h",), z=5.0, certain=False, **more):
    rest = {"run": 1, "score": "bin", "why": f"at {start}", "report": 5 * MINUTE, **more}
    significance = {"certain": True} if certain else {"z": z}
    return Finding(
        subsystem=subsystem,
        histograms=tuple(histograms),
        start=start * MINUTE,
        stop=stop * MINUTE,
        **significance,
        **rest,
    )


def minutes(times):
    return [int(time.value // MINUTE) for time in pd.DatetimeIndex(times)]


def test_a_finding_survives_its_line():
    one = flag(0, 5, histograms=())
    assert Finding.from_json(one.to_json()) == one


@pytest.mark.parametrize("z", [math.inf, None])
def test_a_stored_finding_with_an_infinite_z_or_none_is_certain(z):
    line = json.loads(flag(0, 5, certain=True).to_json())
    assert math.isinf(line["z"])
    assert "certain" not in line
    again = Finding.from_json(json.dumps(line | {"z": z}))
    assert again.certain
    assert math.isnan(again.z)
    assert again.to_json() == flag(0, 5, certain=True).to_json()


def test_the_table_is_in_order_of_time_and_names_a_single_histogram():
    made = table([flag(10, 15, histograms=("a", "b")), flag(0, 5), flag(5, 10, histograms=())])
    assert tuple(made.columns) == (*COLUMNS, "report")
    assert made["histogram"].tolist() == ["h", None, None]
    assert minutes(made["start"]) == [0, 5, 10]
    assert made["report"].iloc[0] == pd.Timedelta("5min")
    assert table([]).empty
