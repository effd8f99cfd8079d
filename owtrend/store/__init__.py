"""The store: an Icechunk repository that is read, appended to, checked and repaired."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from owtrend.store.append import appender
    from owtrend.store.repository import Store

__all__ = ["Store", "appender"]

_HOME = {"Store": "owtrend.store.repository", "appender": "owtrend.store.append"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'owtrend.store' has no attribute {name!r}")
