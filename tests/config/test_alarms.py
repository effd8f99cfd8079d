"""Settings of alarms: typed, strict, and without secrets anywhere."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from owtrend.config import Config, from_json, load
from owtrend.config.alarms import AlarmConfig
from owtrend.errors import UsageError

ROOT = Path(__file__).parents[2]
SECRET = "https://hooks.example.org/services/xyzzyplugh"
LOG = {"shift": {"type": "log"}}
SMTP = {"type": "smtp", "host": "mail.example.org", "sender": "owtrend@example.org", "to": ["shift@example.org"]}


def loaded(tmp_path, alarms):
    (tmp_path / "owtrend.yaml").write_text(yaml.safe_dump({"alarms": alarms}))
    return load(tmp_path / "owtrend.yaml").alarms


def test_the_configuration_in_the_documentation_works(tmp_path):
    page = (ROOT / "docs" / "explanation" / "notifications.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "owtrend.yaml").write_text(text)
    settings = load(tmp_path / "owtrend.yaml").alarms
    assert [receiver.type for receiver in settings.receivers.values()] == ["mattermost", "smtp", "webhook", "log"]
    assert len(settings.routes) == 4


def test_defaults_notify_nobody():
    settings = Config().alarms
    assert (settings.receivers, settings.routes, settings.incidents) == ({}, [], "error")
    assert (settings.max_age, settings.group_interval) == (timedelta(hours=12), timedelta(minutes=5))
    assert (settings.rate.messages, settings.rate.time) == (20, timedelta(hours=1))


def test_a_store_never_keeps_them_and_never_gives_them():
    config = Config.model_validate({"alarms": {"receivers": LOG}, "rename": ["a=b"]})
    assert '"alarms"' not in config.model_dump_json()
    hostile = '{"rename": ["a=b"], "alarms": {"receivers": {"x": {"type": "log"}}}, "journal": "sqlite:////tmp/x"}'
    assert from_json(hostile) == Config(rename=["a=b"])


@pytest.mark.parametrize(
    ("alarms", "message"),
    [
        ({"recievers": LOG}, "alarms.recievers: no such setting; did you mean receivers"),
        ({"routes": [{"to": ["shift"], "subsystm": "EMC"}], "receivers": LOG},
         "alarms.routes.0.subsystm: no such setting; did you mean subsystem"),
        ({"receivers": {"a": SMTP | {"senders": "x"}}}, "a.smtp.senders: no such setting; did you mean sender"),
        ({"routes": [{"to": ["nobody"]}], "receivers": LOG}, "routes.0.to: no receiver 'nobody'; there are shift"),
        ({"escalate_to": ["boss"]}, "escalate_to: no receiver 'boss'; there are none"),
        ({"receivers": {"a": {"type": "smpt"}}}, "'smtp', 'slack'"),
        ({"rate": "20 per fortnight"}, "expected for example `20 per hour`"),
        ({"rate": "0 per hour"}, "not a rate"),
        ({"max_age": 12}, "expected for example `5min`"),
        ({"max_age": "99999 d"}, "ten years at most"),
        ({"timezone": "Europe/Zuerich"}, "no such time zone"),
        ({"timezone": "../../etc/passwd"}, "no such time zone"),
        ({"receivers": LOG, "routes": [{"to": ["shift"], "between": "8-20"}]}, "not a time of day"),
        ({"receivers": LOG, "routes": [{"to": ["shift"], "between": "08:00-08:00"}]}, "begins when it ends"),
        ({"receivers": LOG, "routes": [{"to": []}]}, "at least 1 item"),
        ({"address": "ftp://page.example.org"}, "begins with https://"),
        ({"receivers": {"a": SMTP | {"to": ["a@b.org\r\nBcc: c@d.org"]}}}, "not a plain mail address"),
        ({"receivers": {"a": SMTP | {"user": "u"}}}, "give one of password_env, password_file"),
        ({"receivers": {"a": SMTP | {"user": "u", "password_env": "P", "security": "none"}}}, "never sent unencrypted"),
        ({"receivers": {"a": {"type": "slack"}}}, "give one of url_env, url_file"),
        ({"receivers": {"a": {"type": "webhook", "url": "https://h.org"}}}, "give one of key_env, key_file"),
        ({"receivers": {"a b": {"type": "log"}}}, "should match pattern"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, alarms, message):
    with pytest.raises(UsageError) as raised:
        loaded(tmp_path, alarms)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "receiver",
    [
        {"type": "slack", "url": SECRET},
        {"type": "slack", "url_env": SECRET},
        {"type": "slack", "url_file": "xyzzyplugh"},
        {"type": "webhook", "url": "http://h.org/xyzzyplugh", "key_env": "KEY"},
        {"type": "webhook", "url": "https://me:xyzzyplugh@h.org", "key_env": "KEY"},
        SMTP | {"password": "xyzzyplugh"},
        SMTP | {"user": "u", "password_env": "xyzzyplugh!"},
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path, receiver):
    with pytest.raises(UsageError) as raised:
        loaded(tmp_path, {"receivers": {"a": receiver}})
    assert isinstance(raised.value.__cause__, ValidationError)
    for text in (str(raised.value), str(raised.value.__cause__), repr(raised.value.__cause__)):
        assert "xyzzyplugh" not in text
    with pytest.raises(UsageError) as raised:
        loaded(tmp_path, {"receivers": LOG, "escalate_to": [SECRET]})
    assert "xyzzyplugh" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90 s", 90), ("5min", 300), ("1.5 h", 5400), ("2d", 172800)]
)  # fmt: skip
def test_lengths_of_time_are_written_as_people_do(text, seconds):
    settings = AlarmConfig.model_validate({"max_age": text})
    assert settings.max_age == timedelta(seconds=seconds)
    assert AlarmConfig.model_validate_json(settings.model_dump_json()) == settings


def test_the_page_and_a_proxy_may_be_unencrypted_and_have_no_password():
    slack = {"type": "slack", "url_env": "CHAT", "proxy": "http://proxy.example.org:3128"}
    given = {"address": "http://page.example.org:8850", "receivers": {"a": slack}}
    assert AlarmConfig.model_validate(given).address == given["address"]
    for wrong in (
        {"address": "http://me:xyz@page.example.org"},
        {"receivers": {"a": slack | {"proxy": "http://a:b@h"}}},
    ):
        with pytest.raises(ValidationError, match="a user or a password"):
            AlarmConfig.model_validate(given | wrong)


@pytest.mark.parametrize(
    ("text", "messages", "seconds"),
    [("20 per hour", 20, 3600), ("1 per 10 min", 1, 600), ("5 per minute", 5, 60), ("100 per 2 days", 100, 172800)],
)
def test_rates_are_written_as_people_do(text, messages, seconds):
    assert AlarmConfig.model_validate({"rate": text}).rate == (messages, timedelta(seconds=seconds))
