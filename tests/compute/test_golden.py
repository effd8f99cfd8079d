"""Stored numbers of fixed inputs: they change only together with a version in `owtrend.store.versions`."""

import json

import numpy as np
import pytest

from owtrend.store.repository import Store
from tests.compute import golden

FAMILIES = tuple(golden.versions_of())
_RAISE = "the stored numbers changed: raise {} in owtrend.store.versions, then run `python -m tests.compute.golden`"


@pytest.fixture(scope="module")
def made():
    store = Store.in_memory()
    return golden.numbers(store.location)


@pytest.fixture(scope="module")
def stored():
    with np.load(golden.FILE) as file:
        return dict(file)


def test_the_inputs_make_every_array_speak(made):
    assert {name.split(":")[0] for name in made} == set(FAMILIES)
    for name, values in made.items():
        assert (np.nan_to_num(values) != 0).any() if values.dtype.kind != "U" else len(values), name
    text = " ".join(made["findings:lines"])
    for score in ("bin", "fraction", "rate", "restart", "absent"):
        assert f'"{score}"' in text, score


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_change_only_with_their_version(made, stored, family):
    before, now = json.loads(stored["versions"].item()), golden.versions_of()
    assert before[family] == now[family], (
        "a version was raised: run `python -m tests.compute.golden` and look at what changed"
    )
    names, expected = ({name for name in arrays if name.startswith(f"{family}:")} for arrays in (made, stored))
    assert names == expected, _RAISE.format(family)
    for name in sorted(names):
        if made[name].dtype.kind == "U":
            assert made[name].tolist() == stored[name].tolist(), _RAISE.format(family)
        else:
            # Vectorised mathematics differs in the last digits from one processor to the next.
            np.testing.assert_allclose(
                made[name], stored[name], rtol=1e-6 if made[name].dtype == np.float32 else 1e-10, atol=1e-9,
                err_msg=f"{name}: {_RAISE.format(family)}",
            )  # fmt: skip
