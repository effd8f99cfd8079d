import pytest

from ingest.decode.histogram import cells_at_most, is_container, is_histogram, leaves
from ingest.decode.streamer import RootObject


def named(name, class_name="TH1F", **members):
    return RootObject(class_name, {"fName": name, **members})


def collection(*items, name="", class_name="TList"):
    return RootObject(class_name, {"fName": name}, items=list(items))


def paths(root_object, path=("key",)):
    return ["/".join(path) for path, _ in leaves(root_object, path)]


def test_a_histogram_is_its_own_only_leaf():
    assert paths(named("other")) == ["key"]


def test_objects_of_one_name_are_numbered_in_each_container():
    inner = collection(named("a"), named("a"), name="inner")
    assert paths(collection(named("a"), named("b"), None, named("a"), inner)) == [
        "key/a", "key/b", "key/a#2", "key/inner/a", "key/inner/a#2",
    ]  # fmt: skip


def test_a_container_without_a_name_is_called_by_its_class():
    assert paths(collection(collection(named("a"), class_name="TObjArray"))) == ["key/TObjArray/a"]


def test_the_list_of_an_entry_and_a_wrapper_add_no_level():
    entry = RootObject("AliCDBEntry", {"fObject": collection(named("a"))})
    assert paths(entry) == ["key/a"]
    wrapped = RootObject("o2::quality_control::core::MonitorObject", {"mObject": named("a")})
    assert paths(collection(wrapped, wrapped)) == ["key/a"]


def test_a_map_names_its_values_by_their_keys():
    key = RootObject("TObjString", {"fString": "k"})
    assert paths(collection(key, named("v"), None, named("w"), class_name="TMap")) == ["key/k", "key/w"]


def test_a_canvas_shows_what_is_drawn_but_not_its_colours():
    colours = collection(named("red", "TColor"), class_name="TObjArray")
    pad = RootObject("TPad", {"fName": "pad", "fPrimitives": collection(named("h"))})
    canvas = RootObject("TCanvas", {"fPrimitives": collection(pad, colours, named("frame", "TFrame"))})
    assert paths(canvas) == ["key/pad/h", "key/frame"]


def test_circles_and_second_pointers_are_left_out():
    first = named("a")
    circle = collection(first, first, name="circle")
    circle.items.append(circle)
    assert paths(collection(circle, first)) == ["key/circle/a"]


def test_an_unread_container_is_returned_with_its_class():
    unread = RootObject("AliCDBEntry", missing="the file lacks the layout")
    assert [(path, leaf.class_name) for path, leaf in leaves(unread, ("key",))] == [(("key",), "AliCDBEntry")]


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [("TH1C", 800), ("TH2S", 400), ("TH3I", 200), ("TH1L", 100), ("TH1F", 200), ("TH2D", 100), ("TProfile2D", 100)],
)
def test_the_largest_number_of_cells_in_800_bytes(class_name, expected):
    assert is_histogram(class_name)
    assert cells_at_most(class_name, 800) == expected


@pytest.mark.parametrize("class_name", ["TH2Poly", "TH1K", "THnSparseT<TArrayD>", "TGraph", "TTree"])
def test_classes_without_an_array_of_cells_are_no_histograms(class_name):
    assert not is_histogram(class_name)
    assert not is_container(class_name)
