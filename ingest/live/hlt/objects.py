"""Messages of objects -> histograms, by the same layouts and templates as files."""

from collections import OrderedDict
from dataclasses import dataclass, field

import xxhash

from ingest.decode.class_layouts import LACKS, ClassLayouts
from ingest.decode.compression import Buffer
from ingest.decode.histogram import is_container, is_histogram, listed, reason
from ingest.decode.streamer import DAMAGE
from ingest.decode.template import Contents, ObjectRead, Template, histograms_in, prepare
from ingest.limits import Budget
from ingest.live.hlt.known_layouts import known_layouts
from ingest.live.hlt.tmessage import HEAD, class_layouts, object_bytes, read_object
from owtrend.model.histogram import Histogram, Path

__all__ = ["MessageReader", "ObjectsRead"]

_BEGINNING = 160  # [bytes] of an object: its class, and most or all of its name
_ALIKE = 8  # templates of objects that begin alike and have the same length
_TEMPLATES = 2**13
_TEMPLATE_BYTES = 2**26  # of all of them
_PER_TEMPLATE = 2**13  # [bytes] in addition to the bytes that it compares
_CLASS_RECORDS = 16  # class layouts kept
_Key = tuple[bytes, int, bytes]


@dataclass(slots=True)
class ObjectsRead:
    """Everything read from the objects of one reply so far, and what is left of its budget."""

    budget: Budget
    histograms: dict[Path, tuple[Contents, int] | Histogram] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    unsupported: dict[str, str] = field(default_factory=dict)
    lacks_layouts: bool = False


class MessageReader:
    """Reader of messages of objects; use one per thread.

    It remembers the layouts of the objects it read, as `SnapshotReader` does. The result never depends on that.
    """

    def __init__(self) -> None:
        self._classes: OrderedDict[bytes, ClassLayouts] = OrderedDict()
        self._templates: OrderedDict[_Key, list[tuple[Template, dict[str, str]]]] = OrderedDict()
        self._count = self._bytes = 0

    def layouts(self, payload: Buffer | None, budget: Budget) -> tuple[bytes, ClassLayouts | None]:
        """The class layouts in a message, and their hash; None without a message.

        Raises
        ------
        SnapshotError
            If it is damaged.
        OverBudget
            If it takes more than the budget.
        """
        if payload is None:
            return b"", None
        digest = xxhash.xxh3_128_digest(payload)
        if digest not in self._classes:
            self._classes[digest] = class_layouts(payload, budget)
            if len(self._classes) > _CLASS_RECORDS:
                self._classes.popitem(last=False)
        self._classes.move_to_end(digest)
        return digest, self._classes[digest]

    def read(self, payload: Buffer, label: str, layouts: tuple[bytes, ClassLayouts | None], into: ObjectsRead) -> None:
        """Add the histograms of one message ``into`` a reply; what cannot be read is a problem named ``label``.

        Parameters
        ----------
        layouts
            What `layouts` returned: the sender's, completed by those that owtrend knows.

        Raises
        ------
        OverBudget
            If the reply takes more than its budget.
        """
        prepare()
        budget = into.budget
        budget.require_time()
        try:
            content = object_bytes(payload, budget)
            key = layouts[0], len(content), bytes(content[:_BEGINNING])
            for template, unsupported in self._templates.get(key, ()):
                budget.keep(template.size)
                if (contents := template.contents(content)) is not None:
                    self._templates.move_to_end(key)
                    into.histograms |= {path: (contents, number) for number, path in enumerate(template.paths)}
                    into.unsupported |= unsupported
                    return
            budget.keep(0, 2 * len(content))
            found = self._walk(content, layouts[1], budget)
        except DAMAGE as error:
            into.problems[label] = reason(error)
            return
        into.histograms |= found.histograms
        into.unsupported |= found.unsupported
        into.problems |= found.problems
        into.lacks_layouts |= _lacking(found)
        if found.reusable:
            self._remember(key, found)

    def forget(self) -> None:
        """Forget all templates, which gives their memory back."""
        self._templates.clear()
        self._count = self._bytes = 0

    def _walk(self, content: Buffer, classes: ClassLayouts | None, budget: Budget) -> ObjectRead:
        """Read one object member by member, by its sender's layouts, else also by the known ones."""
        if classes is not None:
            found = _read_by(content, classes, budget)
            if not _lacking(found):
                return found
        known = known_layouts()
        return _read_by(content, known if classes is None else classes.completed(known), budget)

    def _remember(self, key: _Key, found: ObjectRead) -> None:
        alike = self._templates.setdefault(key, [])
        alike.insert(0, (found.template, found.unsupported))
        self._count += 1
        self._bytes += _size(found.template)
        self._drop(alike[_ALIKE:])
        del alike[_ALIKE:]
        self._templates.move_to_end(key)
        while (self._count > _TEMPLATES or self._bytes > _TEMPLATE_BYTES) and len(self._templates) > 1:
            self._drop(self._templates.popitem(last=False)[1])

    def _drop(self, templates: list[tuple[Template, dict[str, str]]]) -> None:
        self._count -= len(templates)
        self._bytes -= sum(_size(template) for template, _ in templates)


def _read_by(content: Buffer, classes: ClassLayouts, budget: Budget) -> ObjectRead:
    whole = read_object(content, classes, budget)
    path = (whole.name,)
    if whole.missing and not (is_histogram(whole.class_name) or is_container(whole.class_name)):
        return ObjectRead(Template(content, []), False, {}, {}, {listed(path): whole.class_name})
    if whole.missing and not whole.items:
        return ObjectRead(Template(content, []), False, {}, {listed(path): whole.missing}, {})
    return histograms_in(whole, path, content, budget)


def _lacking(found: ObjectRead) -> bool:
    return any(text.startswith(LACKS) for text in found.problems.values())


def _size(template: Template) -> int:
    """Memory of a template [bytes]: the bytes it compares, and what describes its histograms."""
    return max(template.length - template.size, 0) + _PER_TEMPLATE * (1 + len(template.paths)) + HEAD
