"""Settings of trends: which reductors `compute` keeps of which histogram, and a hash of what they depend on."""

import ast
import hashlib
import importlib
import inspect
import logging
from fnmatch import fnmatchcase
from functools import lru_cache

from owtrend.config import Config
from owtrend.errors import UsageError
from owtrend.model.registry import HistogramEntry
from owtrend.store.reader import SubsystemReader
from owtrend.trends.reductors import DEFAULT, parse

__all__ = ["added", "kept", "kept_reductors", "require_found", "settings_hash"]

_log = logging.getLogger(__name__)


def kept_reductors(config: Config, subsystem: str) -> list[str]:
    """Reductors kept for a subsystem: the default ones and those of the configuration, whose modules are imported."""
    for module in config.modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UsageError(
                f"configuration, modules: {module!r} cannot be imported ({error}); put it where `python` looks "
                "for modules, such as a folder of PYTHONPATH"
            ) from error
    settings = config.for_subsystem(subsystem)
    more = [name for names in settings.reductors.values() for name in names]
    if settings.events is not None:
        more.insert(0, "per_event")
    return list(dict.fromkeys([*DEFAULT, *(parse(name).name for name in more)]))


def settings_hash(config: Config, subsystem: str) -> bytes:
    """Hash of the settings that the trends of a subsystem depend on, code of modules included; 8 bytes."""
    digest = hashlib.blake2b(config.for_subsystem(subsystem).model_dump_json().encode(), digest_size=8)
    for module in config.modules:
        digest.update(f"\n{module}\n".encode() + _code_of(inspect.getsource(importlib.import_module(module))).encode())
    return digest.digest()


@lru_cache
def _code_of(source: str) -> str:
    """A module without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(
            node
        ):
            del node.body[0]
    return ast.dump(tree)


def added(config: Config, subsystem: str, entry: HistogramEntry) -> set[str]:
    """Reductors that the configuration adds for a histogram."""
    settings = config.for_subsystem(subsystem)
    counted = {"per_event"} if settings.events is not None else set()
    return counted | {parse(name).name for name in settings.for_histogram(entry.name)}


def kept(config: Config, subsystem: str, entry: HistogramEntry, name: str) -> bool:
    """True if this trend of a histogram is kept."""
    return name in DEFAULT or name in added(config, subsystem, entry)


def require_found(config: Config, view: SubsystemReader, subsystem: str) -> None:
    """Raise NotFoundError or UsageError unless a subsystem has the histograms and reductors that its settings name."""
    settings = config.for_subsystem(subsystem)
    where = f"{view.where}, configuration of {subsystem}"
    if settings.events is not None:
        entry = view.registry.find(settings.events, f"{where}, events")
        counting = parse(settings.count)
        if counting.kind.custom or counting.other or not counting.fits(entry.first):
            raise UsageError(f"{where}, count: reductor {settings.count!r} has no meaning for {settings.events}")
        counting.require_bins(entry.first.axes)
    for pattern, names in settings.reductors.items():
        for name in names:
            if other := parse(name).other:
                view.registry.find(other, f"{where}, reductors, {name}")
        if not any(fnmatchcase(entry.name, pattern) for entry in view.registry.histograms.values()):
            _log.warning("%s, reductors: no histogram matches %r", where, pattern)
