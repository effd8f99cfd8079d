"""Modules with functions of people's own: imported from a local configuration or an entry point, never from a store."""

import ast
import hashlib
import importlib
import inspect
import logging
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from owtrend.errors import NotFoundError, UsageError, hint

__all__ = ["ENTRY_POINTS", "Origin", "import_installed", "import_local", "origin", "other_code", "require_same"]

ENTRY_POINTS = "owtrend.reductors"  # modules of installed packages that are imported when a reductor is not known
_WHERE = "put it where `python` looks for modules, such as a folder of PYTHONPATH"

_log = logging.getLogger(__name__)


class Origin(NamedTuple):
    """Where a function comes from: its module, and a hash of the module's code, empty if it has no source."""

    module: str
    code: str


def import_local(names: Iterable[str]) -> None:
    """Import modules that a configuration on this machine names. Names that a store brings must not come here.

    A module that does not exist is a warning with the nearest name.

    Raises
    ------
    UsageError
        If a module is there but its import fails.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not (error.name and f"{name}.".startswith(f"{error.name}.")):  # a module that it imports is missing
                raise UsageError(f"configuration, modules: {name!r} cannot be imported ({error})") from error
            near = hint(name, (module.name for module in pkgutil.iter_modules()), limit=1)
            _log.warning("configuration, modules: %r cannot be imported (%s)%s; %s", name, error, near, _WHERE)
        except Exception as error:  # whatever its code raises
            raise UsageError(
                f"configuration, modules: {name!r} cannot be imported ({type(error).__name__}: {error})"
            ) from error


@cache
def import_installed() -> None:
    """Import what installed packages offer as entry points `owtrend.reductors`, once."""
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception as error:  # a broken package must not stop what needs none of it
            _log.warning("entry point %s of %s cannot be imported: %s", point.name, ENTRY_POINTS, error)


def origin(function: Callable[..., Any]) -> Origin:
    """Module and code of a function."""
    module = sys.modules.get(function.__module__)
    try:
        source = inspect.getsource(module if module is not None else function)
    except (OSError, TypeError):  # typed into an interpreter
        return Origin(function.__module__, "")
    return Origin(function.__module__, _hash(source))


@lru_cache
def _hash(source: str) -> str:
    """Hash of a module without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(
            node
        ):
            del node.body[0]
    return hashlib.blake2b(ast.dump(tree).encode(), digest_size=8).hexdigest()


def require_same(origins: Mapping[str, Origin]) -> None:
    """Import, on a worker, the modules that functions come from where the work was started.

    Raises
    ------
    NotFoundError
        If a module is missing here, or has other code.
    """
    for module, code in sorted({*origins.values()}):
        try:
            loaded = importlib.import_module(module)
        except ImportError as error:
            raise NotFoundError(
                f"module {module!r} cannot be imported on a worker ({error}); install it there"
            ) from error
        try:
            here = _hash(inspect.getsource(loaded))
        except (OSError, TypeError):
            here = ""
        if here != code:
            raise NotFoundError(
                f"module {module!r} on a worker has other code ({here or 'none'}) than here ({code or 'none'}); "
                "install the same there"
            )


def other_code(recorded: Mapping[str, Origin], loaded: Mapping[str, Origin]) -> list[str]:
    """Sentences on functions that a store ``recorded`` and that are missing among the ``loaded``, or differ."""
    sentences = []
    for source in sorted({*recorded.values()}):
        names = sorted(name for name, known in recorded.items() if known == source)
        if missing := [name for name in names if name not in loaded]:
            sentences.append(
                f"{', '.join(missing)} not computed: {_words(source)} is not loaded, since nothing is imported because "
                "a store names it. If you trust it, name it under `modules` in a file for --config, or install it with "
                f"an entry point {ENTRY_POINTS}"
            )
        if differ := [name for name in names if loaded.get(name, source) != source]:
            now = " and ".join(map(_words, sorted({loaded[name] for name in differ})))
            sentences.append(f"{', '.join(differ)}: stored trends were made with {_words(source)}, now it is {now}")
    return sentences


def _words(source: Origin) -> str:
    return f"module {source.module!r} (code {source.code or 'unknown'})"
