"""Settings of rules, as people type them and as a store keeps them."""

from datetime import timedelta

import pytest

from owtrend import config
from owtrend.errors import UsageError

RULE = """
rules:
- name: hot
  subsystem: EMC
  histogram: "*Occupancy*"
  error: maximum > 5 * median(maximum)
  guidance: mask the channel
"""


def loaded(tmp_path, text):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return config.load(path)


def test_a_rule_survives_being_stored(tmp_path):
    settings = loaded(tmp_path, RULE + "  for: 90s\n  escalate_after: 36.5 d\n  receivers: [shift, experts]\n")
    (rule,) = settings.rules
    assert (rule.hold, rule.escalate_after) == (timedelta(seconds=90), timedelta(days=36.5))
    assert config.from_json(settings.model_dump_json()) == settings


def test_an_alarm_may_wait_for_reports(tmp_path):
    assert loaded(tmp_path, RULE + "  for: 3\n").rules[0].hold == 3


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("  eror: mean > 3\n", "did you mean error?"),
        ("  fro: 10min\n", "did you mean for?"),
        ("  for: true\n", "length of time"),
        ("  for: ten minutes\n", "not a length of time"),
        ("  for: 0\n", "1 to 1000"),
        ("  no_data_after: 0\n", "greater than or equal to 1"),
        ("  inhibits: [cold]\n", "there is no such rule"),
        ("- {name: hot, subsystem: A, histogram: h, error: z > 1}\n", "two rules have the name 'hot'"),
        ("- {name: cold, subsystem: A, histogram: h}\n", "at least one of them"),
        ("- {name: incident, subsystem: A, histogram: h, error: z > 1}\n", "alarms that come from no rule"),
        ('- {name: "a\\e[2J", subsystem: A, histogram: h, error: z > 1}\n', "control characters"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, more, words):
    with pytest.raises(UsageError) as error:
        loaded(tmp_path, RULE + more)
    assert words in str(error.value)
