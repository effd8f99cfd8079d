"""Senders and real servers: what arrives, what each failure becomes, and that no secret is seen."""

import hashlib
import hmac
import json
import logging
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from owtrend.config.alarms import AlarmConfig
from owtrend.errors import UsageError
from owtrend.quality.alarms.notice import News
from owtrend.quality.notify.message import Outcome
from owtrend.quality.notify.senders import open_sender
from owtrend.quality.notify.senders.chat import mattermost_text, slack_payload
from owtrend.quality.notify.senders.mail import mail
from owtrend.quality.notify.senders.secret import Secret, clean, read_secret
from owtrend.quality.notify.trial import send_test
from owtrend.quality.notify.wording import Place, notice_message
from tests.notices import HOSTILE, NOW, item
from tests.servers import MID_ANSWER, OK, RESET, SILENT, certificate, mail_server, web_server

ROOT = Path(__file__).parents[3]
PASSWORD = "correct horse"
SECRET_PATH = "/services/T0123/B4567/xyzzyplughfoobar"
PLACE = Place("archive.zarr", "https://page.example.org", "Europe/Zurich")


def message(*items, news=News.FIRING, **more):
    return replace(notice_message("0123abcd", news, "EMC", items or [item()], PLACE, NOW), **more)


HOSTILE_MESSAGE = message(item(name=HOSTILE, histogram=HOSTILE, why=HOSTILE, guidance=HOSTILE, owner=HOSTILE))


def sender(**settings):
    return open_sender(AlarmConfig.model_validate({"receivers": {"r": settings}}).receivers["r"])


@pytest.fixture
def chat_url(monkeypatch):
    def set_url(server):
        monkeypatch.setenv("CHAT_URL", server.url(SECRET_PATH))

    return set_url


@pytest.mark.parametrize("kind", ["slack", "mattermost"])
def test_a_chat_gets_the_words_and_the_link(kind, chat_url):
    with web_server() as server:
        chat_url(server)
        assert sender(type=kind, url_env="CHAT_URL").send(message()) == (Outcome.SENT, "200 ok", None)
    ((path, _, body),) = server.requests
    assert path == SECRET_PATH
    for words in (b"EMCTRQA_histFastORL0Amp", b"24 channels above 5 sigma", b"owtrend ack archive.zarr 000000000000",
                  b"https://page.example.org/?run=300004&"):  # fmt: skip
        assert words in body.replace(b"\\\\", b"").replace(b"&amp;", b"&")


@pytest.mark.parametrize(
    ("done", "outcome", "words"),
    [
        (OK, Outcome.SENT, "200 ok"),
        ((204, {}, ""), Outcome.SENT, "204"),
        ((500, {}, "oops"), Outcome.RETRY, "500 oops"),
        ((503, {"Retry-After": "7"}, ""), Outcome.RETRY, "503"),
        ((429, {"Retry-After": "nonsense"}, "slow"), Outcome.RETRY, "429 slow"),
        ((400, {}, "invalid_blocks"), Outcome.REFUSED, "400 invalid_blocks"),
        ((401, {}, ""), Outcome.REFUSED, "401"),
        ((404, {}, f"no {SECRET_PATH}"), Outcome.REFUSED, "404 no ***"),
        ((302, {"Location": "http://127.0.0.1:1/elsewhere"}, ""), Outcome.REFUSED, "302: a redirect"),
        (RESET, Outcome.RETRY, "Error"),
        (MID_ANSWER, Outcome.RETRY, "Error"),
        (SILENT, Outcome.RETRY, "no answer in 0.2 s"),
    ],
)
def test_each_answer_of_a_web_server_has_its_outcome(done, outcome, words, chat_url):
    with web_server(lambda _: done) as server:
        chat_url(server)
        answer = sender(type="slack", url_env="CHAT_URL", timeout=0.2).send(message())
    assert (answer.outcome, len(server.requests)) == (outcome, 1)
    assert words in answer.text
    assert answer.retry_after == (7.0 if "Retry-After': '7'" in str(done) else None)


def test_a_server_that_is_not_there_is_tried_again(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("CHAT_URL", f"http://127.0.0.1:{port}{SECRET_PATH}")
    answer = sender(type="slack", url_env="CHAT_URL").send(message())
    assert (answer.outcome, SECRET_PATH in answer.text) == (Outcome.RETRY, False)
    smtp = sender(type="smtp", host="127.0.0.1", port=port, security="none", sender="a@b.org", to=["c@d.org"])
    assert smtp.send(message()).outcome is Outcome.RETRY


def test_proxies_of_the_environment_are_not_used(monkeypatch, chat_url):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with web_server() as server:
        chat_url(server)
        assert sender(type="slack", url_env="CHAT_URL").send(message()).outcome is Outcome.SENT


def test_a_webhook_is_signed_so_that_its_receiver_can_check_body_and_time(monkeypatch):
    monkeypatch.setenv("KEY", PASSWORD)
    with web_server() as server:
        answer = sender(type="webhook", url=server.url("/hook"), key_env="KEY").send(message())
    assert answer.outcome is Outcome.SENT
    ((_, headers, body),) = server.requests
    signed = headers["Owtrend-Timestamp"].encode() + b"." + body
    expected = "v1=" + hmac.new(PASSWORD.encode(), signed, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(expected, headers["Owtrend-Signature"])
    page = (ROOT / "docs" / "explanation" / "notifications.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["is_genuine"](PASSWORD.encode(), headers, body)
    assert not names["is_genuine"](PASSWORD.encode(), headers, body + b" ")
    assert not names["is_genuine"](b"other", headers, body)
    fields = json.loads(body)
    assert headers["Idempotency-Key"] == fields["id"] == "0123abcd"
    assert (fields["version"], fields["news"], fields["level"]) == (1, "firing", "error")
    assert fields["facts"]["Why"] == "24 channels above 5 sigma"
    assert fields["alarms"] == ["000000000000"]


def test_names_are_no_markup_in_chats():
    payload = slack_payload(HOSTILE_MESSAGE)
    assert "<!" not in payload["text"]
    *blocks, link = payload["blocks"]
    assert {block["text"]["type"] for block in blocks} == {"plain_text"}
    assert link["text"]["text"].count("<") == link["text"]["text"].count(">") == link["text"]["text"].count("|") == 1
    text = mattermost_text(HOSTILE_MESSAGE)
    subject, fence, *body, last_fence, link = text.split("\n")
    assert (fence, last_fence) == ("```text", "```")
    assert not any(line.startswith("```") for line in body)
    assert "@all" not in subject
    assert r"\*\_\~\<\!channel\>" in subject
    assert "https://evil" not in subject
    assert link.startswith("[Open the page](https://page.example.org/?")
    assert link.count(")") == 1


def test_chats_get_no_more_than_they_take():
    long = message(*(item(number, name=f"{number} {'x' * 300}", guidance="y" * 5000) for number in range(99)))
    payload = slack_payload(long)
    assert max(len(block["text"]["text"]) for block in payload["blocks"]) <= 3000
    assert len(payload["text"]) <= 3000
    assert len(mattermost_text(replace(long, lines=("*" * 9000,) * 9))) < 16383


@pytest.mark.parametrize("picture", [None, b"\x89PNG\r\n\x1a\nxyz"])
def test_mail_has_text_html_and_the_picture_inline(picture):
    smtp = {"type": "smtp", "host": "h.org", "sender": "owtrend@example.org", "to": ["a@b.org", "c@d.org"]}
    receiver = AlarmConfig.model_validate({"receivers": {"r": smtp}}).receivers["r"]
    letter = mail(message(picture=picture), receiver)
    assert (letter["Message-ID"], letter["To"]) == ("<0123abcd@example.org>", "a@b.org, c@d.org")
    assert bytes(mail(message(), receiver))[:300] == bytes(mail(message(), receiver))[:300]
    assert "owtrend ack archive.zarr 000000000000" in letter.get_body(("plain",)).get_content()
    html = letter.get_body(("html",)).get_content()
    assert "<b>EMC: too many hot channels: EMCTRQA_histFastORL0Amp since 18:06 UTC, run 300004 (error)</b>" in html
    pictures = [part for part in letter.walk() if part.get_content_type() == "image/png"]
    assert [part.get_content() for part in pictures] == ([picture] if picture else [])
    assert [f'src="cid:{part["Content-ID"][1:-1]}"' in html for part in pictures] == [True] * len(pictures)


def test_names_are_no_headers_and_no_html_in_mail():
    smtp = {"type": "smtp", "host": "h.org", "sender": "owtrend@example.org", "to": ["a@b.org"]}
    receiver = AlarmConfig.model_validate({"receivers": {"r": smtp}}).receivers["r"]
    letter = mail(replace(HOSTILE_MESSAGE, id="x\r\nBcc: y", thread="<\r\nz>"), receiver)
    assert letter["Bcc"] is None
    assert b"\nBcc:" not in bytes(letter)
    html = letter.get_body(("html",)).get_content()
    assert "<script" not in html
    assert "\x1b" not in html


def _smtp(server, **more):
    settings = {"type": "smtp", "host": "127.0.0.1", "port": server.port, "sender": "owtrend@example.org",
                "to": ["shift@example.org"], "security": "none", **more}  # fmt: skip
    return sender(**settings)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("250 OK", Outcome.SENT), ("451 later", Outcome.RETRY), ("554 no", Outcome.REFUSED)],
)
def test_each_answer_of_a_mail_server_has_its_outcome(answer, outcome):
    with mail_server(lambda _: answer) as server:
        got = _smtp(server).send(message())
    assert got.outcome is outcome
    assert answer[4:] in got.text or outcome is Outcome.SENT
    assert server.tries == ["<0123abcd@example.org>"]
    assert [letter["Subject"] for letter in server.letters] == [message().subject] * (outcome is Outcome.SENT)


def test_mail_that_some_do_not_get_is_not_sent_to_the_others_again(monkeypatch, caplog):
    with mail_server() as server:
        server.refused = "gone@example.org"
        got = _smtp(server, to=["shift@example.org", "gone@example.org"]).send(message())
    assert (got.outcome, got.text) == (Outcome.SENT, "accepted, but not for gone@example.org: 550 no such user")
    assert "gone@example.org: 550 no such user" in caplog.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
@pytest.mark.slow
def test_a_password_goes_only_to_a_server_whose_certificate_is_trusted(tmp_path, monkeypatch):
    ca_file, context = certificate(tmp_path)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)
    login = {"security": "starttls", "user": "owtrend", "password_file": str(tmp_path / "password")}
    with mail_server(context=context, login=True) as server:
        assert _smtp(server, **login, ca_file=ca_file).send(message()).outcome is Outcome.SENT
        assert server.passwords == [PASSWORD.encode()]
        untrusted = _smtp(server, **login).send(message())
        assert untrusted.outcome is Outcome.REFUSED
        assert "certificate cannot be trusted" in untrusted.text
        assert len(server.passwords) == 1
        monkeypatch.setenv("WRONG", "wrong battery staple")
        login = {"security": "starttls", "user": "owtrend", "password_env": "WRONG", "ca_file": ca_file}
        wrong = _smtp(server, **login).send(message())
        assert (wrong.outcome, wrong.text[:3], "battery" in wrong.text) == (Outcome.REFUSED, "535", False)
    with mail_server() as plain:
        stripped = _smtp(plain, **login).send(message())
        assert (stripped.outcome, plain.passwords) == (Outcome.REFUSED, [])


def test_a_log_has_one_line_per_message_whatever_is_in_it(caplog):
    with caplog.at_level(logging.INFO):
        assert sender(type="log").send(HOSTILE_MESSAGE).outcome is Outcome.SENT
        sender(type="log").send(message(item(minutes=3), news=News.RESOLVED))
    first, second = caplog.records
    assert (first.name, first.levelname, second.levelname) == ("owtrend.alarms", "ERROR", "INFO")
    assert first.getMessage().isascii()
    assert first.getMessage().isprintable()
    assert json.loads(first.getMessage())["alarms"] == ["000000000000"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what apprise imports
def test_apprise_is_one_more_way(monkeypatch):
    with web_server() as server:
        monkeypatch.setenv("APPRISE", f"json://127.0.0.1:{server.port}/xyzzyplugh")
        assert sender(type="apprise", url_env="APPRISE").send(message()).outcome is Outcome.SENT
        server.plan = lambda _: (500, {}, "")
        assert sender(type="apprise", url_env="APPRISE").send(message()).outcome is Outcome.RETRY
    assert server.bodies()[0]["title"] == message().subject
    monkeypatch.setenv("APPRISE", "nonsense xyzzyplugh")
    with pytest.raises(UsageError, match="APPRISE: apprise does not understand"):
        sender(type="apprise", url_env="APPRISE")


def test_a_file_with_a_secret_is_private(tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{PASSWORD}\n")
    for mode in (0o644, 0o620, 0o604):
        file.chmod(mode)
        with pytest.raises(UsageError, match=f"mode {mode:o}.*chmod 600"):
            read_secret(None, str(file))
    file.chmod(0o640)
    assert read_secret(None, str(file)).reveal() == PASSWORD
    file.write_text("two\nlines")
    with pytest.raises(UsageError, match="more than one line"):
        read_secret(None, str(file))
    with pytest.raises(UsageError, match="No such file"):
        read_secret(None, str(tmp_path / "none"))
    with pytest.raises(UsageError, match="variable 'NONE_OF_THESE': no secret"):
        read_secret("NONE_OF_THESE", None)


def test_a_secret_shows_itself_nowhere():
    secret = Secret(PASSWORD)
    assert PASSWORD not in f"{secret} {secret!r} {secret} {[secret]}"
    spellings = "correct horse, correct%20horse, Y29ycmVjdCBob3JzZQ=="
    assert clean(spellings, [secret]) == "***, ***, ***=="
    assert len(clean("x" * 10**6)) == 200


def test_a_test_message_says_that_it_is_one(chat_url):
    with web_server() as server:
        chat_url(server)
        settings = AlarmConfig.model_validate({"receivers": {"shift": {"type": "slack", "url_env": "CHAT_URL"}}})
        assert send_test(settings, "shift", store="archive.zarr", who="me").outcome is Outcome.SENT
    assert "Test of receiver shift" in server.bodies()[0]["text"]
    with pytest.raises(UsageError, match="no receiver 'shfit'; did you mean 'shift'"):
        send_test(settings, "shfit")
