"""Settings of a batch system on which tasks run."""

from typing import Any

from pydantic import Field

from owtrend.config.strict import Strict

__all__ = ["BatchConfig"]


class BatchConfig(Strict):
    """How `owtrend compute --batch` asks a batch system for workers."""

    jobs: int = Field(default=4, ge=1, le=10_000, description="Jobs to submit; --workers takes another number.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Of a job, as dask-jobqueue takes them: {cores: 4, memory: 8GB, walltime: '02:00:00'}.",
    )
    factory: str | None = Field(
        default=None, pattern=r"^[\w.]+:\w+$",
        description="MODULE:FUNCTION of your own that returns a Dask cluster, for --batch factory.",
    )  # fmt: skip
    longest_wait: float = Field(
        default=3600.0, gt=0, le=1e6, allow_inf_nan=False, description="Seconds for which jobs may wait in the queue."
    )
