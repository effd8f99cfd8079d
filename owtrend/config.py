"""What people set in a YAML file: reductors, event counters, modules of their own, a budget of false alarms."""

import difflib
import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from owtrend.errors import UsageError
from owtrend.store.reader import Reader

__all__ = ["Config", "ScoreConfig", "SubsystemConfig", "config_of", "from_json", "load"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SubsystemConfig(_Strict):
    """Settings of one subsystem."""

    events: str | None = Field(default=None, description="Histogram that counts events, by its displayed name.")
    count: str = Field(default="entries", description="Reductor of it that is the number of events.")
    reductors: dict[str, list[str]] = Field(
        default_factory=dict, description="Reductors kept beside the default ones, by shell pattern of the histogram."
    )

    def of(self, histogram: str) -> list[str]:
        """The reductors that this adds for a histogram."""
        return [name for pattern, names in self.reductors.items() if fnmatchcase(histogram, pattern) for name in names]


class ScoreConfig(_Strict):
    """How outliers are looked for."""

    false_alarms: float = Field(
        default=1.0, gt=0, description="In eight hours, of all histograms together, that may come by chance."
    )
    last: int = Field(default=5, ge=1, description="Good runs before, which a run is compared with.")
    adapt_after: int = Field(
        default=3, ge=0, description="Runs in a row that are unlike those before, and then the new usual; 0: never."
    )
    epochs: dict[str, list[int]] = Field(
        default_factory=dict, description="By subsystem the runs from which on those before are no reference."
    )


class Config(_Strict):
    """All settings; what is not set has a default."""

    modules: list[str] = Field(default_factory=list, description="Python modules with reductors of your own.")
    scores: ScoreConfig = Field(default_factory=ScoreConfig, description="How outliers are looked for.")
    subsystems: dict[str, SubsystemConfig] = Field(default_factory=dict, description="By name.")

    def of(self, subsystem: str) -> SubsystemConfig:
        """Settings of a subsystem."""
        return self.subsystems.get(subsystem) or SubsystemConfig()


def load(path: str | Path) -> Config:
    """The configuration in a YAML file.

    Raises
    ------
    UsageError
        If it cannot be read, or says what is not known; the text tells where, and the nearest valid key.
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
        raise UsageError(f"{path}: {'; '.join(_told(one) for one in error.errors())}") from error


def from_json(text: str) -> Config:
    """The configuration that `Config.model_dump_json` wrote."""
    return Config.model_validate(json.loads(text))


def config_of(reader: Reader) -> Config:
    """The configuration that the trends of a store are made by."""
    return from_json(reader.config or "{}")


def _told(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    owner = Config if len(error["loc"]) == 1 else ScoreConfig if error["loc"][0] == "scores" else SubsystemConfig
    near = difflib.get_close_matches(str(error["loc"][-1]), owner.model_fields, n=1, cutoff=0)
    return f"{where}: no such setting; did you mean {near[0]}? There are {', '.join(owner.model_fields)}"
