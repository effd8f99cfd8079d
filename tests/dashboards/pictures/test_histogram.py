"""Pictures show true edges, true contents and true errors, and redraw without losing the user's view."""

import holoviews as hv
import numpy as np
import pytest

import owtrend
from dashboards.pictures import histogram, theme
from dashboards.pictures.axes import BinAxis, limits


@pytest.fixture
def whole(archive):
    """The whole run of a histogram by name."""

    def make(name, **options):
        return owtrend.time_slice(archive.histogram("EMC", name, run=300000, **options))

    return make


def layer(picture, kind):
    (found,) = (part for part in picture if type(part) is kind and not part.label)
    return found


def column(element, name):
    return element.dimension_values(name)


def drawn(picture):
    return hv.renderer("bokeh").get_plot(picture)


@pytest.mark.parametrize("name", ["plain", "variable", "labelled"])
def test_a_histogram_has_its_true_edges_contents_and_errors(whole, name):
    content = whole(name)
    picture = histogram.histogram(content)
    bins = layer(picture, hv.Rectangles)
    np.testing.assert_array_equal(column(bins, "x"), content["x_left"])
    np.testing.assert_array_equal(column(bins, "right"), content["x_right"])
    np.testing.assert_array_equal(column(bins, "top"), content["contents"])
    bars, filled = layer(picture, hv.ErrorBars), content["contents"].values > 0
    np.testing.assert_array_equal(column(bars, "height"), content["contents"].values[filled])
    np.testing.assert_allclose(column(bars, "up"), np.sqrt(content["contents"].values[filled]))


def test_the_outline_goes_around_every_bin(whole):
    line = layer(histogram.histogram(whole("variable")), hv.Curve)
    assert column(line, "x").tolist() == [0, 0, 1, 1, 10, 10, 100, 100]
    assert column(line, "height").tolist() == [0, 6, 6, 12, 12, 0, 0, 0]


@pytest.mark.slow
def test_axis_titles_and_labels_come_from_root_without_its_markup(whole):
    figure = drawn(histogram.histogram(whole("plain"))).state
    assert (figure.xaxis[0].axis_label, figure.yaxis[0].axis_label) == ("Δη of p_T", "entries")
    labelled = drawn(histogram.histogram(whole("labelled"))).state.xaxis[0]
    assert labelled.ticker.ticks == [0.5, 1.5, 2.5]
    assert list(labelled.major_label_overrides.values()) == ["minimum bias", "L0", "L1 \N{GREEK SMALL LETTER GAMMA}"]


@pytest.mark.slow
def test_a_logarithmic_axis_leaves_out_bins_at_or_below_zero(whole):
    content = whole("plain")
    content["contents"].values[:4] = [-3, 0, 5, 1000]
    plot = drawn(histogram.histogram(content, log=True))
    assert plot.state.y_scale.__class__.__name__ == "LogScale"
    assert 0 < plot.handles["y_range"].start < 5
    source = plot.subplots["Rectangles", "I"].handles["source"].data
    assert (np.array(source["top"]) > 0).all()
    assert source["top"][0] == source["bottom"][0]
    bars = layer(histogram.histogram(content, log=True), hv.ErrorBars)
    assert (column(bars, "height") - column(bars, "down") > 0).all()
    assert np.isin([5, 1000], column(bars, "height")).all()


def test_a_crowd_of_bins_has_no_error_bars(whole):
    content = whole("plain")
    many = content.isel(x=np.arange(histogram.CROWD + 1) % 8)
    assert len(layer(histogram.histogram(many), hv.ErrorBars)) == 0
    assert len(layer(histogram.histogram(many), hv.Rectangles)) == histogram.CROWD + 1


def test_a_profile_is_its_means_with_errors_and_nothing_where_it_is_empty(whole):
    points = layer(histogram.histogram(whole("profile")), hv.Scatter)
    assert column(points, "x").tolist() == [0.5, 1.5]
    assert column(points, "height").tolist() == [10, 11]
    assert (column(points, "error") > 0).all()


def test_a_map_leaves_empty_bins_without_colour_and_keeps_their_content(whole):
    content = whole("map")
    picture = histogram.histogram(content)
    assert type(picture) is hv.Image
    assert picture.bounds.lbrt() == (0, 0, 4, 5)
    colour, shown = (picture.dimension_values(name, flat=False) for name in ("colour", "content"))
    empty = content["contents"].values.T == 0
    np.testing.assert_array_equal(np.isnan(colour), empty)
    np.testing.assert_array_equal(shown, content["contents"].values.T)
    mapper = drawn(picture).handles["color_mapper"]
    assert (mapper.low, mapper.high) == (colour[~empty].min(), colour[~empty].max())


@pytest.mark.parametrize("name", ["map", "uneven"])
def test_a_mean_of_zero_and_a_state_of_zero_are_drawn_and_a_bin_without_entries_is_not(whole, name):
    counts = whole(name)
    empty = counts["contents"].values.T == 0
    zero = counts["contents"] * 0
    means = counts.rename(contents="bin_entries").assign(sumwy=zero, sumwy2=zero)
    colour = histogram.histogram(means).dimension_values("colour", flat=False)
    np.testing.assert_array_equal(np.isnan(colour), empty)
    states = counts.assign(contents=zero).assign_attrs(gauge=True)
    assert not np.isnan(histogram.histogram(states).dimension_values("colour", flat=False)).any()


def test_a_map_is_the_right_way_up(whole):
    content = whole("map")
    image = drawn(histogram.histogram(content)).handles["source"].data["content"][0]
    np.testing.assert_array_equal(image[1], content["contents"].sel(y=1.5))  # Bokeh's first row is the lowest


def test_a_map_of_unequal_bins_keeps_its_edges(whole):
    picture = histogram.histogram(whole("uneven"))
    source = drawn(picture).handles["source"].data
    assert type(picture) is hv.QuadMesh
    assert sorted({*zip(source["bottom"], source["top"], strict=True)}) == [(0, 1), (1, 5), (5, 6)]


@pytest.mark.parametrize("name", ["map", "uneven"])
def test_a_logarithmic_map_leaves_out_bins_at_or_below_zero(whole, name):
    content = whole(name)
    content["contents"].values[0, 0] = -1
    picture = histogram.histogram(content, log=True)
    assert (np.isnan(picture.dimension_values("colour")) == (picture.dimension_values("content") <= 0)).all()
    mapper = drawn(picture).handles["color_mapper"]
    assert mapper.__class__.__name__ == "LogColorMapper"
    assert 0 < mapper.low < mapper.high


@pytest.mark.slow
def test_a_projection_is_drawn_along_the_axis_that_stays(whole):
    content = owtrend.project(whole("map"), "y", x=slice(1, 3))
    picture = histogram.histogram(content)
    bins, bars = layer(picture, hv.Rectangles), layer(picture, hv.ErrorBars)
    np.testing.assert_array_equal(column(bins, "x"), content["y_left"])
    np.testing.assert_array_equal(column(bins, "top"), content["contents"])
    np.testing.assert_allclose(column(bars, "up"), np.sqrt(content["contents"].values[content["contents"].values > 0]))
    assert drawn(picture).state.xaxis[0].axis_label == "row"
    side = histogram.histogram(owtrend.project(whole("box"), "yz"))
    assert side.bounds.lbrt() == (0, 0, 3, 2)


@pytest.mark.slow
def test_contents_per_entry(whole):
    content = whole("plain")
    picture, entries = histogram.histogram(content, normalised=True), content["contents"].values.sum()
    np.testing.assert_allclose(column(layer(picture, hv.Rectangles), "top"), content["contents"] / entries)
    filled = content["contents"].values[content["contents"].values > 0]
    np.testing.assert_allclose(column(layer(picture, hv.ErrorBars), "up"), np.sqrt(filled) / entries)
    assert drawn(picture).state.yaxis[0].axis_label == "fraction of entries"
    empty = histogram.histogram(content * 0, normalised=True)
    assert drawn(empty).state.yaxis[0].axis_label == "fraction of entries"


@pytest.mark.slow
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("name", ["plain", "labelled", "profile"])
def test_further_runs_are_lines_of_their_own_colours_with_errors(whole, name, log):
    content = whole(name)
    picture = histogram.histogram(content, log=log, others={7: content, 8: None, 9: content * 2})
    first, absent, last = (part for part in picture if type(part) is hv.Curve and part.label.startswith("Run"))
    colours = [line.opts.get("style").kwargs["color"] for line in (first, absent, last)]
    assert (len(absent), colours) == (0, list(theme.RUNS[:3]))
    along, height = (column(first, name) for name in ("x", "height"))
    assert (along[0], along[-1]) == (content["x_left"][0], content["x_right"][-1])
    values = owtrend.values(content)
    shown = np.isfinite(values["value"].values) & (values["variance"].values > 0)
    if name != "profile":
        shown &= values["value"].values > 0
    np.testing.assert_array_equal(height[::2][shown], values["value"].values[shown])
    bars = next(part for part in picture if type(part) is hv.Segments and len(part.vdims) == 1)
    np.testing.assert_allclose(
        column(bars, "high")[: shown.sum()], (values["value"] + np.sqrt(values["variance"])).values[shown]
    )
    assert drawn(picture).handles["y_range"].end > np.nanmax(column(last, "height"))


@pytest.mark.parametrize("name", ["labelled", "profile"])
def test_further_runs_are_matched_by_label_and_a_label_they_lack_is_left_out(whole, name):
    content = whole(name).assign_coords(x_label=("x", ["A", "B", "B"]))
    bins = {part: content[part].isel(x=[1, 2, 0]).values for part in content.data_vars if "x" in content[part].dims}
    other = content.assign({part: ("x", values) for part, values in bins.items()})
    value = owtrend.values(content)["value"].values
    for labels, expected in ((["B", "B", "A"], value), (["B", "C", "A"], [*value[:2], np.nan])):
        picture = histogram.histogram(content, others={7: other.assign_coords(x_label=("x", labels))})
        (line,) = (part for part in picture if type(part) is hv.Curve and part.label == "Run 7")
        drawn_at = np.nan_to_num(column(line, "height")[::2])
        np.testing.assert_array_equal(drawn_at, np.nan_to_num(expected))


def test_a_map_shows_no_further_runs(whole):
    assert type(histogram.histogram(whole("map"), others={7: whole("map")})) is hv.Image


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        pytest.param([], {}, (0, 1), id="nothing"),
        pytest.param([np.nan, np.inf], {"log": True}, (0.5, 2), id="nothing-positive"),
        pytest.param([0, 100], {"zero": True}, (0, 106), id="counts-stand-on-zero"),
        pytest.param([-100, 100], {"zero": True}, (-112, 112), id="negative-bins"),
        pytest.param([10, 20], {"zero": True, "padding": 0}, (0, 20), id="zero-stays-inside"),
        pytest.param([0, 0], {"zero": True}, (0, 0.5), id="empty-histogram"),
        pytest.param([7, 7], {}, (6.3, 7.7), id="constant"),
        pytest.param([-5, 0, 2, 8], {"log": True}, (1, 16), id="log"),
        pytest.param([-5, 0, 2, 8], {"log": True, "padding": 0}, (2, 8), id="log-colours"),
    ],
)
def test_limits_by_hand(values, options, expected):
    assert limits(values, **options) == pytest.approx(expected)


def test_long_rows_of_labels_are_thinned(whole):
    axis = BinAxis.from_histogram(whole("labelled").isel(x=np.arange(100) % 3), "x")
    ticks = axis.ticks("x")["xticks"]
    assert len(ticks) <= 36
    assert ticks[1][1] == axis.labels[3]


@pytest.fixture
def moving(whole):
    """A picture in a DynamicMap, and how to give it another content."""
    content = whole("plain")
    pipe = hv.streams.Pipe(data=content)
    plot = drawn(hv.DynamicMap(lambda data: histogram.histogram(data, title="moving"), streams=[pipe]))
    return plot, lambda factor: pipe.send(content.assign(contents=content["contents"] * factor))


def test_a_picture_redraws_in_place_and_follows_the_data(moving):
    plot, send = moving
    figure, source = plot.state, plot.subplots["Rectangles", "I"].handles["source"]
    before, high = np.array(source.data["top"]), plot.handles["y_range"].end
    send(10)
    assert plot.state is figure
    np.testing.assert_array_equal(plot.subplots["Rectangles", "I"].handles["source"].data["top"], before * 10)
    assert plot.handles["y_range"].end > 5 * high


def test_a_picture_that_the_user_has_zoomed_keeps_its_view(moving):
    plot, send = moving
    x, y = plot.handles["x_range"], plot.handles["y_range"]
    x.update(start=1, end=2)
    y.update(start=3, end=4)
    send(10)
    assert (x.start, x.end, y.start, y.end) == (1, 2, 3, 4)
    assert y.reset_end > 40


def test_pictures_of_one_histogram_share_axes_but_not_heights(whole):
    one, other = (histogram.histogram(whole("plain"), title=title) for title in ("Whole run", "Time slice"))
    bins, others = layer(one, hv.Rectangles), layer(other, hv.Rectangles)
    assert bins.kdims[0].spec == others.kdims[0].spec
    assert bins.kdims[1].spec != others.kdims[1].spec


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("#eta vs #Phi", "η vs Φ"),
        ("#lambda #Lambda", "λ Λ"),
        ("p_{T} (GeV/#it{c})", "p_T (GeV/c)"),
        ("m^{2}", "m^2"),
        ("run #5, #nothing", "run #5, #nothing"),
    ],
)
def test_tlatex_becomes_plain_text(title, expected):
    assert theme.plain(title) == expected


@pytest.mark.parametrize(
    ("reductor", "expected"),
    [
        ("mean_x", "mean of E (GeV)"),
        ("quantile_x(0.9)", "quantile 0.9 of E (GeV)"),
        ("fraction_x(0,3)", "fraction 0 to 3 of E (GeV)"),
        ("mean_x(y=2:5)", "mean of E (GeV), y 2 to 5"),
        ("gauss_width_y", "gauss width of y"),
        ("mean_t", "mean of the profiled quantity"),
        ("rate", "rate [Hz]"),
        ("ratio(other)", "ratio other"),
        ("not a reductor", "not a reductor"),
    ],
)
def test_reductors_read_as_words(reductor, expected):
    assert theme.reductor_name(reductor, {"x": "E (GeV)", "y": ""}) == expected
