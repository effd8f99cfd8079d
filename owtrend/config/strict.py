"""Base of all settings: unknown keys are errors, and no error repeats what was typed, which may be a secret."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Strict"]


class Strict(BaseModel):
    """Settings that refuse unknown keys and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
