"""An archive goes out in order of time, at its own pace over the speed, and until it is acknowledged."""

import http.server
import threading

import pytest

from ingest.live.replay import replay
from owtrend.errors import UsageError
from tests import builders


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    builders.write_run(folder, {"h": [[0, 1, 0, 0], [0, 2, 0, 0], [0, 3, 0, 0]]}, minutes=(0, 2, 9))
    return folder


def test_files_go_into_a_folder_with_the_waits_between_them(archive, tmp_path):
    now, seen = [0.0], []

    def sleep(seconds):
        seen.append((round(now[0]), sorted(path.name for path in (tmp_path / "in").iterdir())))
        now[0] += seconds

    result = replay([archive], str(tmp_path / "in"), timezone="UTC", sleep=sleep, clock=lambda: now[0])
    assert (result.sent, result.refused, now[0]) == (3, 0, 9.0)
    names = [f"EMChistos_300000_U_2018_06_01_12_{minute}_00.root" for minute in ("00", "02", "09")]
    assert seen == [(0, names[:1]), (2, names[:2])]
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == names


def test_an_upload_is_repeated_until_it_is_acknowledged_and_one_refused_stops_no_other(archive):
    answers, got = [503, 201, 422, 201], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path[-27:], self.headers["authorization"]))
            self.send_response(answers.pop(0))
            self.end_headers()

        def log_message(self, *_):
            pass

    slept = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        result = replay([archive], address, speed=1e9, timezone="UTC", token="secret", sleep=slept.append)
        server.shutdown()
    assert (result.sent, result.refused) == (2, 1)
    assert [name[-13:] for name, _ in got] == ["12_00_00.root", "12_00_00.root", "12_02_00.root", "12_09_00.root"]
    assert {token for _, token in got} == {"Bearer secret"}
    assert 1.0 in slept


def test_nothing_to_send_and_nowhere_to_send_it_are_one_line(archive, tmp_path):
    with pytest.raises(UsageError, match="no snapshot files found"):
        replay([tmp_path], str(tmp_path / "in"))
    with pytest.raises(UsageError, match="expected a folder, or an address"):
        replay([archive], "ftp://host")
