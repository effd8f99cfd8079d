"""Pictures of histograms for messages: drawn, of any shape, whatever the names are."""

import struct
import sys
import zlib

import numpy as np
import pytest

from owtrend.errors import NotFoundError
from owtrend.model.axis import Axis
from owtrend.model.finding import BinRange
from owtrend.output.picture import Shown, draw, picture_maker
from owtrend.quality.notify.message import Drawing
from tests import builders
from tests.notices import HOSTILE

pytestmark = pytest.mark.slow
AXIS = Axis.spaced(6, 0, 6, "position [cm]")


def pixels(png):
    """Height, width and RGBA of a PNG that is not interlaced."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    data, at, size = b"", 8, (0, 0)
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        size = struct.unpack(">II", body[:8]) if kind == b"IHDR" else size
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    rows = zlib.decompress(data)
    return size, rows


def of(*names_and_contents, run=300001):
    """The archive with two runs of these histograms, and what makes pictures of it."""
    rows = []
    for number in (300000, run):
        for minute in (1, 2, 3):
            every = [builders.histogram(np.asarray(cells) * minute, name) for name, cells in names_and_contents]
            rows.append(builders.snapshot(minute + 60 * (number - 300000), *every, run=number))
    return builders.archive_of(*rows)


def drawing(name, first=1, last=3, run=300001):
    start = builders.START + np.timedelta64(60 * (run - 300000) + first, "m")
    stop = builders.START + np.timedelta64(60 * (run - 300000) + last, "m")
    return Drawing("EMC", run, name, int(start.astype(np.int64)), int(stop.astype(np.int64)))


@pytest.fixture(scope="module")
def archive():
    return of(
        ("one", np.arange(8)), ("two", np.arange(48).reshape(6, 8)), ("three", np.ones((4, 5, 6))),
        ("$\\frac{1}$ <b>" + HOSTILE.replace("/", ""), np.arange(8)), ("empty", np.zeros(8)),
        ("many", np.ones((702, 40))),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["one", "two", "three", "empty", "many"])
def test_a_histogram_of_any_shape_is_drawn(archive, name):
    size, rows = pixels(picture_maker(archive)(drawing(name)))
    assert size in ((800, 520), (900, 420))
    assert len(set(rows[::4001])) > 3


def test_names_are_never_read_as_formulas(archive):
    hostile = next(name for name in archive.histograms("EMC").index if "frac" in name)
    assert picture_maker(archive)(drawing(hostile))


def test_a_run_without_others_is_compared_with_what_was_before_in_it_and_a_beginning_with_nothing(archive):
    make = picture_maker(archive)
    later, first = make(drawing("one", 2, 3, run=300000)), make(drawing("one", 0, 1, run=300000))
    assert later != first


def test_what_is_not_there_is_an_error(archive):
    with pytest.raises(NotFoundError):
        picture_maker(archive)(drawing("none"))
    with pytest.raises(NotFoundError):
        picture_maker(archive)(drawing("one", 50, 55))


def test_the_bins_of_a_finding_are_outlined():
    from owtrend.histograms.labelled import to_xarray

    one = to_xarray(builders.histogram(np.arange(8), axes=[AXIS]))
    found = (BinRange("x", 3, 4, 2.0, 4.0),)
    everything = (BinRange("x", 0, 7, -np.inf, np.inf),)
    pictures = [draw(Shown(one, None, "t", "s", bins)) for bins in ([], [found], [everything])]
    assert pictures[0] != pictures[1]
    assert pictures[0] == pictures[2]
    assert draw(Shown(one, None, "t", "s", [])) == pictures[0]  # the same again


def test_nothing_global_is_used():
    assert "matplotlib.pyplot" not in sys.modules
