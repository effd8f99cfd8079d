from ingest.archive.find import find_files
from tests.builders import histogram, write


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def runs(found):
    return sorted((file.run, file.subsystem) for file in found.files)


def test_linked_run_folders_are_followed_and_none_comes_twice(tmp_path):
    data = tmp_path / "data"
    touch(data / "Run1" / "EMC" / "EMChists.2018_06_01_12_00_00.root")
    touch(tmp_path / "elsewhere" / "Run2" / "EMC" / "EMChists.2018_06_01_12_00_00.root")
    (data / "Run2").symlink_to(tmp_path / "elsewhere" / "Run2")
    (data / "Latest").symlink_to(data / "Run1")
    (data / "Run1" / "EMC" / "up").symlink_to(data)
    (data / "Run1" / "gone").symlink_to(tmp_path / "gone")
    assert runs(find_files([data])) == [(1, "EMC"), (2, "EMC")]
    (tmp_path / "all").symlink_to(data)
    assert runs(find_files([tmp_path / "all"])) == [(1, "EMC"), (2, "EMC")]


def test_run_and_subsystem_are_enough_for_a_file_given_by_itself(tmp_path):
    path = write(tmp_path / "anything.root", histogram([0, 1, 0]))
    assert runs(find_files([path], run=7, subsystem="MID")) == [(7, "MID")]
    assert runs(find_files([tmp_path], run=7, subsystem="MID")) == []
    assert runs(find_files([path], run=7)) == []


def test_each_reason_against_a_file_has_a_count_and_an_example(tmp_path):
    for name in ("mon_1.root", "mon_2.root", "mon_0000039600.root"):
        touch(tmp_path / name)
    found = find_files([tmp_path], patterns=["mon_{time}.root"], run=1, subsystem="EMC")
    ((reason, count),) = found.skipped.items()
    assert (reason.split(" (")[0], count) == ("name not recognised", 3)
    assert found.examples[reason].startswith("mon_0000039600.root: pattern 'mon_{time}.root' fits, but its time")
