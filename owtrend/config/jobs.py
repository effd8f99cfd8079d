"""Settings of jobs: which verb of owtrend runs when."""

from typing import Literal

from pydantic import Field, model_validator

from owtrend.config.strict import Strict

__all__ = ["JobConfig"]

Event = Literal["run started", "run ended", "data arrived"]


class JobConfig(Strict):
    """A verb of owtrend that `owtrend schedule` runs on its store when it is due."""

    run: list[str] = Field(
        min_length=1, max_length=100,
        description="A verb of owtrend and its options, without the store: [compute, --tag, nightly]. Never a shell.",
    )  # fmt: skip
    at: str | None = Field(default=None, description="Cron text with five fields: minute, hour, day, month, weekday.")
    zone: str = Field(default="UTC", description="Time zone of `at`, such as Europe/Zurich.")
    on: list[Event] = Field(default_factory=list, description="Also when this happens in the store.")
    longest: float = Field(
        default=24.0, gt=0, le=1000, allow_inf_nan=False, description="Hours after which the job is ended."
    )

    @model_validator(mode="after")
    def _has_a_time(self) -> "JobConfig":
        if self.at is None and not self.on:
            raise ValueError("when? give `at`, `on`, or both")
        return self
