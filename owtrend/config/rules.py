"""Settings of rules: expressions that judge reports of histograms, and how patient and loud their alarms are."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from owtrend.config.lengths import Length, parse_length, shown
from owtrend.config.strict import Strict

__all__ = ["RuleConfig", "unique"]


def _patience(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 1000:
            raise ValueError("expected 1 to 1000 reports")
        return value
    if not isinstance(value, str | timedelta):
        raise ValueError("expected a length of time such as 10min, or a whole number of reports")
    return parse_length(value)


def _shown(hold: timedelta | int) -> str | int:
    return hold if isinstance(hold, int) else shown(hold)


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected a text without control characters")
    return text


_RESERVED = ("incident", "source")
_Name = Annotated[str, Field(max_length=100), AfterValidator(_printable)]
_Pattern = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
_Expression = Annotated[str, Field(min_length=1, max_length=2000)]


class RuleConfig(Strict):
    """A rule: what makes a report bad, what to do about it, and when that is an alarm.

    `owtrend.quality.rules.expression` has what expressions may say.
    """

    model_config = ConfigDict(strict=True)

    name: _Name = Field(description="Name of the rule; no other rule has it.")
    subsystem: _Name = Field(description="Subsystem that it watches.")
    histogram: _Pattern = Field(description="Displayed name of a histogram, or a shell pattern of several.")
    error: _Expression | None = Field(default=None, description="Where this is true, a report is an error.")
    warning: _Expression | None = Field(default=None, description="Where this is true, it is a warning.")
    unknown: _Expression | None = Field(
        default=None, description="Where this is true, a report says too little to be judged."
    )
    history: Literal["runs", "run"] = Field(
        default="runs", description="Whether windows reach back into earlier runs, or end at the beginning of the run."
    )
    guidance: str = Field(default="", max_length=4000, description="What to do about it: a text or a link.")
    owner: str = Field(default="", max_length=100, description="Who knows about it.")
    hold: Annotated[timedelta | int, BeforeValidator(_patience), PlainSerializer(_shown)] = Field(
        default=1, validation_alias=AliasChoices("for", "hold"),
        description="How long it is bad before the alarm fires: a length of time such as 10min, or a number of "
        "reports.",
    )  # fmt: skip
    keep_firing_for: Length = Field(
        default=timedelta(0), description="How long it is good again before the alarm ends."
    )
    recovery: _Expression | None = Field(
        default=None, description="What must be true, too, for the alarm to end: a threshold of its own."
    )
    group: str = Field(default="", max_length=100, description="Alarms of one group are announced together.")
    inhibits: tuple[_Name, ...] = Field(
        default=(), strict=False, description="Rules that are silent while this one fires."
    )
    no_data_after: int = Field(
        default=3, ge=1, le=1000, description="Reports without a value before the alarm says that data are missing."
    )
    escalate_after: Length | None = Field(
        default=None, description="How long nobody acknowledges it before the next level of receivers is called."
    )
    receivers: tuple[_Name, ...] = Field(default=(), strict=False, description="Who gets it; none: by the routes.")

    @field_validator("name")
    @classmethod
    def _own_name(cls, name: str) -> str:
        if name in _RESERVED:
            raise ValueError(f"{name!r} is the name of alarms that come from no rule; give it another one")
        return name

    @model_validator(mode="after")
    def _judges(self) -> Self:
        if self.error is None and self.warning is None:
            raise ValueError(f"rule {self.name!r} has neither `error` nor `warning`; give at least one of them")
        return self


def unique(rules: Sequence[RuleConfig]) -> Sequence[RuleConfig]:
    """The rules, if each has a name of its own and inhibits rules that exist.

    Raises
    ------
    ValueError
        If two have the same name, or one inhibits an unknown rule.
    """
    names = [rule.name for rule in rules]
    for rule in rules:
        if names.count(rule.name) > 1:
            raise ValueError(f"two rules have the name {rule.name!r}")
        if missing := [name for name in rule.inhibits if name not in names]:
            raise ValueError(f"rule {rule.name!r} inhibits {missing[0]!r}, and there is no such rule")
    return rules
