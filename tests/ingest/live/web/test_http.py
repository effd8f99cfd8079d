"""Overwatch's calls with their answers, and version 2 with proper status codes; nothing bad holds up what is good."""

import json
import re
import socket

import httpx2
import pytest
from fastapi.testclient import TestClient

from ingest.live.receiver import Receiver, ReceiverSettings
from ingest.live.spool import Spool, SpoolLimits
from ingest.live.web.http import HttpDoor, application, is_loopback
from ingest.live.web.tokens import Tokens, add_token
from owtrend.errors import UsageError
from owtrend.store.repository import Store
from tests import builders

NAME = "EMChistos_300000_C_2018_6_1_12_0_0.root"
STATE = {
    "state": "receiving", "last_step_seconds": 0.1, "queue": {"payloads": 2, "bytes": 7, "oldest_seconds": 0.5},
    "counts": {"stored": 5}, "subsystems": {"EMC": {"age_seconds": 3.0}}, "alarms_on": 1,
    "seconds_to": {"commit": {"p50": 0.1, "p99": 0.2}},
}  # fmt: skip
DQM = {"runNumber": "300000", "timeStamp": "1527847200", "amoreAgent": "EMC", "dataStatus": "0"}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = builders.write(tmp_path_factory.mktemp("root") / "one.root", builders.histogram([0, 1, 2, 0]))
    return path.read_bytes()


@pytest.fixture
def door(tmp_path):
    with Spool(tmp_path / "spool", SpoolLimits(payload_bytes=50_000, payloads=3)) as spool:
        yield HttpDoor(spool, lambda: STATE)


@pytest.fixture
def client(door):
    return TestClient(application(door))


def waiting(door):
    return [(payload.meta["subsystem"], payload.meta["run"]) for payload in door.spool.take(9, 10**9)]


def test_a_snapshot_is_created_once_and_known_after_that(client, door, content):
    first = client.post("/api/v2/snapshots", params={"name": NAME}, content=content)
    again = client.post("/api/v2/snapshots", params={"name": NAME}, content=content)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {"id": again.json()["id"], "known": False, "histograms": 1}
    assert waiting(door) == [("EMC", 300000)]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        pytest.param(NAME, b"", 422, id="empty"),
        pytest.param(NAME, b"nonsense", 422, id="no-root-file"),
        pytest.param(NAME, None, 422, id="cut"),
        pytest.param("x.root", b"", 422, id="name"),
        pytest.param("EMChistos_0_C_2018_6_1_12_0_0.root", b"", 422, id="run-0"),
        pytest.param("../../../etc/passwd\x00\x1b[2J", b"", 422, id="hostile-name"),
        pytest.param(NAME, b"x" * 50_001, 413, id="large"),
    ],
)
def test_after_a_bad_upload_a_good_one_comes_through(client, door, content, name, body, status):
    bad = client.post("/api/v2/snapshots", params={"name": name}, content=content[:-9] if body is None else body)
    assert bad.status_code == status
    assert "\x1b" not in bad.text
    assert bad.json()["detail"]
    assert client.post("/api/v2/snapshots", params={"name": NAME}, content=content).status_code == 201
    assert waiting(door) == [("EMC", 300000)]


def test_an_upload_in_pieces_without_a_length_ends_at_the_limit(client, content):
    pieces = (b"x" * 10_000 for _ in range(6))
    assert client.post("/api/v2/snapshots", params={"name": NAME}, content=pieces).status_code == 413
    assert client.post("/api/v2/snapshots", params={"name": NAME}, content=iter([content])).status_code == 201


def test_a_full_spool_is_503_and_says_when_to_try_again(client, door, content):
    names = [NAME.replace("300000", str(run)) for run in range(1, 5)]
    answers = [client.post("/api/v2/snapshots", params={"name": name}, content=content) for name in names]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 503]
    assert answers[-1].headers["retry-after"] == "10"
    door.spool.remove(door.spool.take(1, 1))
    assert client.post("/api/v2/snapshots", params={"name": names[-1]}, content=content).status_code == 201


@pytest.mark.parametrize("form", [True, False])
def test_a_file_of_overwatch_is_answered_as_overwatch_did(client, door, content, form):
    body = {"files": {"file": ("x.root", content)}} if form else {"content": content}
    answer = client.post("/rest/api/files", headers=DQM, **body)
    assert answer.status_code == 200
    name = "EMChistos_300000_DQM_2018_06_01_12_00_00.root"
    assert answer.json() == {
        "status": 200, "filename": name, "message": "Successfully received file and extracted information",
        "received": {"h": "Name: h Title: title of h NbinsX: 2"}, "receivedHeaders": DQM,
    }  # fmt: skip
    assert waiting(door) == [("EMC", 300000)]
    assert client.get("/rest/api/files").json() == {"files": [name]}
    assert client.get(f"/rest/api/files/{name}").content == content
    assert client.get("/rest/api/files/other").status_code == 404


@pytest.mark.parametrize(
    "changes",
    [{"runNumber": "abc"}, {"runNumber": "-1"}, {"runNumber": "0"}, {"timeStamp": ""}, {"dataStatus": "7"},
     {"amoreAgent": "../x"}, {"timeStamp": "999999999999"}],
)  # fmt: skip
def test_wrong_headers_of_overwatch_are_400(client, door, content, changes):
    answer = client.post("/rest/api/files", headers=DQM | changes, content=content)
    assert answer.status_code == 400
    assert (answer.json()["status"], answer.json()["received"]) == (400, None)
    assert not waiting(door)


def test_overwatch_without_payload_or_with_an_unreadable_one_is_400(client):
    for body in (b"", b"nonsense"):
        assert client.post("/rest/api/files", headers=DQM, content=body).json()["received"] is None


def test_without_the_right_token_nothing_is_taken_or_shown(tmp_path, door, content):
    path = tmp_path / "tokens"
    token = add_token(path, "emc-dqm")
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    client = TestClient(application(HttpDoor(door.spool, door.state, Tokens.load(path))))
    for headers in ({}, {"token": "wrong"}, {"authorization": "Bearer "}, {"authorization": f"Basic {token}"}):
        assert (
            client.post("/api/v2/snapshots", params={"name": NAME}, content=content, headers=headers).status_code == 401
        )
        assert client.get("/api/v2/status", headers=headers).status_code == 401
        for path_of in ("/", "/rest/api/files", f"/rest/api/files/{NAME}"):
            answer = client.get(path_of, headers=headers)
            assert (answer.status_code, "token" in answer.json()["message"]) == (400, True)
        assert client.post("/rest/api/files", headers=headers | DQM, content=content).status_code == 400
    assert not waiting(door)
    assert client.get("/", headers={"token": token}).json() == {"message": "Not implemented"}
    bearer = {"authorization": f"Bearer {token}"}
    assert client.post("/api/v2/snapshots", params={"name": NAME}, content=content, headers=bearer).status_code == 201
    assert client.get("/health").status_code == 200


def test_tokens_are_one_for_each_client_and_files_of_tokens_are_checked(tmp_path):
    path = tmp_path / "tokens"
    first, second = add_token(path, "a"), add_token(path, "b")
    assert [Tokens.load(path).client(token) for token in (first, second, "", "\ud800")] == ["a", "b", None, None]
    with pytest.raises(UsageError, match="has a token"):
        add_token(path, "a")
    with pytest.raises(UsageError, match="expected letters"):
        add_token(path, "a b\n")
    path.write_text("a password\n")
    with pytest.raises(UsageError, match="line 1: expected a name and a hash"):
        Tokens.load(path)


def test_state_health_and_metrics(client, door):
    assert client.get("/api/v2/status").json() == STATE
    assert client.get("/health").json() == {"status": "ok"}
    text = client.get("/metrics").text
    assert 'owtrend_receiver_events_total{what="stored"} 5.0' in text
    assert 'owtrend_receiver_data_age_seconds{subsystem="EMC"} 3.0' in text
    assert 'owtrend_receiver_seconds_to{quantile="0.99",what="commit"} 0.2' in text
    stuck = TestClient(application(HttpDoor(door.spool, lambda: STATE | {"state": "trouble: disk full"})))
    assert stuck.get("/health").status_code == 503
    assert "owtrend_receiver_up 0.0" in stuck.get("/metrics").text


def test_the_calls_are_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/v2/snapshots", "/api/v2/status", "/health", "/metrics"} == set(paths)
    assert {"200", "201", "401", "413", "422", "503"} <= set(paths["/api/v2/snapshots"]["post"]["responses"])
    assert re.search("binary", json.dumps(paths))


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("cern.ch", False)]
)
def test_only_this_machine_is_loopback(host, local):
    assert is_loopback(host) == local


@pytest.mark.slow
def test_uploads_reach_the_store_through_a_real_server(tmp_path, content):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answers = []

    def sent(receiver):
        if not answers:
            for run in (1, 2):
                name = NAME.replace("300000", str(run))
                address = f"http://127.0.0.1:{port}/api/v2/snapshots"
                answers.append(httpx2.post(address, params={"name": name}, content=content).status_code)
        return receiver.writer.state.counts["stored"] == 2

    settings = ReceiverSettings(store=str(tmp_path / "live"), http=("127.0.0.1", port))
    Receiver(settings, until=sent).run()
    assert answers == [201, 201]
    assert set(Store.open(tmp_path / "live").reader().subsystem("EMC").run_indices) == {1, 2}


def test_beyond_this_machine_no_token_is_no_door(tmp_path):
    settings = ReceiverSettings(store=str(tmp_path / "live"), http=("0.0.0.0", 8080))
    with pytest.raises(UsageError, match="no token is configured"):
        Receiver(settings).run()
