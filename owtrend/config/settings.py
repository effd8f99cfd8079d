"""Settings in a YAML file: reductors, event counters, own modules, names, the budget of false alarms."""

import functools
import json
import logging
import operator
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, ValidationError

from owtrend.config.alarms import AlarmConfig
from owtrend.config.batch import BatchConfig
from owtrend.config.jobs import JobConfig
from owtrend.config.rules import RuleConfig, unique
from owtrend.config.strict import Strict
from owtrend.display import printable
from owtrend.errors import StoreError, UsageError, hint, reading

__all__ = ["Config", "ScoreConfig", "SubsystemConfig", "from_json", "load"]


_MOST_RUNS = 10_000
_log = logging.getLogger(__name__)


class SubsystemConfig(Strict):
    """Settings of one subsystem."""

    events: str | None = Field(default=None, description="Displayed name of the histogram that counts events.")
    count: str = Field(default="entries", description="Reductor of this histogram that is the number of events.")
    reductors: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Further reductors to keep, by shell pattern of the histogram.",
    )
    kinds: dict[str, Literal["counter", "gauge", "reset"]] = Field(
        default_factory=dict,
        description="By name or shell pattern what a histogram is, where its contents do not show it: a counter; a "
        "gauge, whose every snapshot is a state of its own; or reset at each snapshot.",
    )

    def for_histogram(self, histogram: str) -> list[str]:
        """Reductors added for a histogram."""
        fitting = [
            names for pattern, names in self.reductors.items()
            if histogram == pattern or fnmatchcase(histogram, pattern)
        ]  # fmt: skip
        return [name for names in fitting for name in names]


class ScoreConfig(Strict):
    """Settings of the search for outliers."""

    false_alarms: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="False alarms expected in eight hours, all histograms together.",
    )
    last: int = Field(
        default=5, ge=1, le=_MOST_RUNS, description="Number of earlier good runs that a run is compared with."
    )
    adapt_after: int = Field(
        default=3,
        ge=0,
        le=_MOST_RUNS,
        description="Runs in a row that differ before they become the reference; 0: never.",
    )
    epochs: dict[str, list[int]] = Field(
        default_factory=dict,
        description="By subsystem, runs from which on earlier runs are no reference.",
    )
    rate: str = Field(
        default="interaction_rate",
        description="Condition that is the interaction rate of a run, see `owtrend conditions`; "
        "`table.column` where several have one name.",
    )
    rate_within: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Compare a run only with runs whose rate differs by at most this part of its own, as far as the "
        "rates are known; none: with runs of any rate.",
    )


class Config(Strict):
    """All settings, each with a default."""

    modules: list[str] = Field(default_factory=list, description="Python modules with your own reductors.")
    rename: list[str] = Field(
        default_factory=list, description="Rules PATTERN=REPLACEMENT by which `owtrend ingest` renames histograms."
    )
    scores: ScoreConfig = Field(default_factory=ScoreConfig, description="Settings of the search for outliers.")
    journal: str | None = Field(
        default=None, exclude=True,
        description="Database URL of the journal, for a store that is no local folder. A store never keeps it.",
    )  # fmt: skip
    alarms: AlarmConfig = Field(
        default_factory=AlarmConfig, exclude=True,
        description="Who is notified of what. A store never keeps it, and what a store has there counts for nothing.",
    )  # fmt: skip
    jobs: dict[str, JobConfig] = Field(
        default_factory=dict, exclude=True,
        description="What `owtrend schedule` runs when, by name. A store never keeps it.",
    )  # fmt: skip
    batch: BatchConfig = Field(
        default_factory=BatchConfig, exclude=True,
        description="The batch system for `owtrend compute --batch`. A store never keeps it.",
    )  # fmt: skip
    subsystems: dict[str, SubsystemConfig] = Field(default_factory=dict, description="By name of the subsystem.")
    rules: Annotated[tuple[RuleConfig, ...], AfterValidator(unique)] = Field(
        default=(), description="Rules by which reports are judged."
    )

    def for_subsystem(self, subsystem: str) -> SubsystemConfig:
        """Settings of a subsystem."""
        return self.subsystems.get(subsystem) or SubsystemConfig()


def load(path: str | Path) -> Config:
    """The configuration in a YAML file.

    Raises
    ------
    UsageError
        If it cannot be read, or has an unknown key; the text names the key and the nearest valid one.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
        return Config.model_validate(yaml.safe_load(text) or {})
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(_problem(one) for one in error.errors())}") from error
    except (RecursionError, ValueError) as error:  # numbers and dates that mean nothing, lists in lists in lists
        raise UsageError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error


@lru_cache(maxsize=16)
def from_json(text: str, where: str = "") -> Config:
    """The configuration that a store keeps, written by `Config.model_dump_json` of this or another version.

    Settings that this version does not know have no effect, and a warning lists them.

    Parameters
    ----------
    where
        The store, for messages.

    Raises
    ------
    StoreError
        If it is no JSON, or a setting has an impossible value.
    """
    remedy = "give one by `owtrend compute STORE --config FILE`"
    with reading(f"{where}: the configuration in the store", remedy):
        settings = json.loads(text)
        if isinstance(settings, dict):  # who is notified, and the database of the journal, are for this machine to say
            settings = {
                name: value for name, value in settings.items() if name not in ("alarms", "batch", "jobs", "journal")
            }
    unknown = []
    while True:
        try:
            config = Config.model_validate(settings)
            break
        except ValidationError as error:
            ignored = [one["loc"] for one in error.errors() if one["type"] == "extra_forbidden"]
            if not ignored:
                problems = "; ".join(_problem(one) for one in error.errors())
                raise StoreError(
                    f"{where}: the configuration in the store: {printable(problems, 500)}; {remedy}"
                ) from error
            for *path, name in ignored:
                del functools.reduce(operator.getitem, path, settings)[name]
                unknown.append(".".join(map(str, (*path, name))))
    if unknown:
        names = printable(", ".join(sorted(unknown)), 300)
        _log.warning("%s: settings of the store that this version does not know, without effect: %s", where, names)
    return config


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "settings"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    owner = _owner(error["loc"])
    names = [_typed(name, field.validation_alias) for name, field in owner.model_fields.items()]
    near = hint(str(error["loc"][-1]), names, limit=1, quote=False)
    return f"{where}: no such setting{near or '.'} There are {', '.join(names)}"


def _typed(name: str, alias: Any) -> str:
    """The name of a setting as people type it."""
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name


def _owner(path: Sequence[str | int]) -> type[BaseModel]:
    """The settings in which the last name of a path was looked for."""
    owner: type[BaseModel] = Config
    inside: list[type[BaseModel]] = []
    for part in path[:-1]:
        if part in owner.model_fields and not inside:
            inside = _settings_in(owner.model_fields[str(part)].annotation)
        elif len(inside) > 1:  # of several kinds, the one that its type names
            inside = [one for one in inside if part in get_args(one.model_fields["type"].annotation)] or inside
        if len(inside) == 1:
            owner, inside = inside[0], []
    return owner


def _settings_in(annotation: Any) -> list[type[BaseModel]]:
    """All classes of settings that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for argument in get_args(annotation) for one in _settings_in(argument)]
