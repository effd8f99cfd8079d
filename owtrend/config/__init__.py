"""What people set in a YAML file: trends, scores, rules, alarms."""

from owtrend.config.rules import RuleConfig
from owtrend.config.settings import Config, ScoreConfig, SubsystemConfig, from_json, load

__all__ = ["Config", "RuleConfig", "ScoreConfig", "SubsystemConfig", "from_json", "load"]
