import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode.compression import unpack
from ingest.decode.histogram import is_histogram, layout, leaves
from ingest.decode.records import KeyList, RootFile
from ingest.decode.streamer import read_key_object
from ingest.decode.streamer_info import read_class_layouts
from ingest.decode.template import Template
from ingest.limits import Budget, Limits
from owtrend.model.histogram import Histogram
from tests.ingest.decode.test_reader import FIRST


def objects():
    """Class, unpacked bytes, length of the key and class layouts of each histogram of a file."""
    file = RootFile(FIRST, str(FIRST))
    record, packed = file.class_record()
    classes = read_class_layouts(unpack(packed, record.objlen), record.keylen)
    for key in KeyList(file.key_list(file.root)).keys:
        if is_histogram(key.class_name):
            data = bytes(file.unpacked(key.seek + key.keylen, key.seek + key.nbytes, key.objlen))
            yield key.class_name, data, key, classes


def walked(data, class_name, key, classes):
    """The histogram and the template of an object read member by member."""
    ((path, found),) = leaves(read_key_object(data, class_name, key.keylen, classes), (key.name,))
    template = Template(data, [layout(found, path, data, Budget(Limits()))])
    return template.contents(data)[0], template


OBJECTS = list(objects())


@given(chosen=st.sampled_from(OBJECTS), change=st.data())
def test_a_change_of_any_fixed_byte_is_noticed_and_any_number_is_read(chosen, change):
    class_name, data, key, classes = chosen
    first, template = walked(data, class_name, key, classes)
    other = bytearray(data)
    position = change.draw(st.integers(0, len(data) - 1))
    other[position] ^= change.draw(st.integers(1, 255))
    contents = template.contents(bytes(other))
    accumulating = any(
        offset <= position < offset + width * count
        for (_, array) in template.layouts[0].parts
        for offset, width, count in [(array.offset, np.dtype(array.kind).itemsize, array.count)]
    ) or any(offset <= position < offset + 8 for _, offset in template.layouts[0].sums)
    assert (contents is not None) == accumulating
    if contents is not None:
        again = contents[0]
        assert again.digest == walked(bytes(other), class_name, key, classes)[0].digest
        assert again.digest != first.digest


def test_an_object_of_another_length_has_another_layout():
    class_name, data, key, classes = OBJECTS[0]
    _, template = walked(data, class_name, key, classes)
    assert template.contents(data + b"\0") is None
    assert template.contents(data[:-1]) is None


def test_histograms_of_a_template_share_no_memory_with_the_file():
    class_name, data, key, classes = OBJECTS[0]
    writable = bytearray(data)
    histogram, _ = walked(writable, class_name, key, classes)
    before = histogram.digest
    writable[:] = bytes(len(writable))
    assert isinstance(histogram, Histogram)
    assert Histogram(**{name: getattr(histogram, name) for name in histogram.__dataclass_fields__}).digest == before
