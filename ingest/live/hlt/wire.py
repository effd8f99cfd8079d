"""Headers, requests and replies of the HLT's merger <-> the frames of ZeroMQ messages; no socket.

A message is pairs of frames: a header that names what the payload is, and the payload. The layout is that of
``BaseDataTopic`` and ``DataTopic`` in AliRoot; `docs/reference/hlt-wire.md` lists it.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ingest import naming
from ingest.decode.compression import Buffer
from owtrend.display import printable
from owtrend.errors import SnapshotError

__all__ = [
    "CONFIG", "INFO", "OBJECT", "STREAMERS", "HeaderForm", "Info", "Reply", "Request", "Topic", "announces_layouts",
    "header", "matches", "read_info", "read_reply", "read_request", "read_topic", "reply", "request",
]  # fmt: skip

INFO, STREAMERS, OBJECT, HISTOGRAM, CONFIG = "INFO____", "ROOTSTRI", "ROOTTOBJ", "ROOTHIST", "CONFIG"
_ROOT_IDS = (OBJECT, HISTOGRAM, "CDBENTRY")
_ROOT_SERIALIZATIONS = ("ROOT", "HLTROOT")
_HEADER = struct.Struct("<4sIII8s8s8s8s4sI8sQQ")
_SHORT = struct.Struct("<8s4si")
_MAGIC = b"O2O2"
_DESCRIPTION = b"DataHDR"
_ANOTHER_FOLLOWS = 1  # flag
_FRAMES = 2**16  # in one message
_LONGEST_INFO = 2**16  # [bytes]
_LONGEST_REQUEST = 2**12  # [bytes]
_OPTIONS = re.compile(r"\s*-*(?P<name>\w+)(?:=(?P<value>\S*))?")


class HeaderForm(StrEnum):
    """The forms that a header had."""

    FIRST_WORD = "first word"  # 80 bytes; since February 2019 the id stands in the first word of the description
    SECOND_WORD = "second word"  # 80 bytes, since October 2016
    SHORT = "short"  # 16 bytes, before


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What a payload is, as its header states it; texts without their filling."""

    id: str
    origin: str = ""
    serialization: str = ""
    specification: int = 0

    @property
    def is_root(self) -> bool:
        """Whether the payload is to be an object of ROOT."""
        return any(matches(self, known) for known in _ROOT_IDS) or self.serialization in _ROOT_SERIALIZATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """The state of the run: its number, 0 if there is none, the mode of the HLT, and everything else by name."""

    run: int = 0
    mode: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks of the merger: ``select`` objects by a regular expression, empty for all of them."""

    select: str = ""
    reset: bool = False  # after the reply
    schema: bool = False  # class layouts first


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The payloads of one message, by what they are."""

    info: Info | None
    layouts: Buffer | None
    layouts_pair: tuple[Buffer, Buffer] | None  # with its header, as received
    objects: list[Buffer]
    others: dict[str, str]  # ids of payloads that are no objects, by label


def header(topic: Topic, size: int = 0, form: HeaderForm = HeaderForm.FIRST_WORD) -> bytes:
    """The header of a payload of ``size`` bytes."""
    name, origin = _filled(topic.id, 8), _filled(topic.origin, 4)
    if form is HeaderForm.SHORT:
        return _SHORT.pack(name, origin, topic.specification)
    words = (name, bytes(8)) if form is HeaderForm.FIRST_WORD else (bytes(8), name)
    return _HEADER.pack(
        _MAGIC, _HEADER.size, 0, 1, _DESCRIPTION, b"NONE", *words, origin, 0, _filled(topic.serialization, 8),
        topic.specification, size,
    )  # fmt: skip


def read_topic(frame: Buffer) -> Topic:
    """What a header of any form states. Its size of the payload is not used: mergers leave it zero.

    Raises
    ------
    SnapshotError
        If it is no header.
    """
    if len(frame) == _SHORT.size:
        name, origin, specification = _SHORT.unpack(frame)
        return Topic(id=_text(name), origin=_text(origin), specification=specification)
    if len(frame) < _HEADER.size or bytes(frame[:4]) != _MAGIC:
        begins = printable(repr(bytes(frame[:4])))
        raise SnapshotError(f"a frame of {len(frame):,} bytes that begins with {begins} where a header belongs")
    _, size, flags, _, _, _, first, second, origin, _, serialization, specification, _ = _HEADER.unpack_from(frame)
    if size != _HEADER.size or (len(frame) > size and not flags & _ANOTHER_FOLLOWS):
        raise SnapshotError(f"a header that states {size:,} bytes, in a frame of {len(frame):,}")
    name = first if first.strip(b"\0 ") else second
    return Topic(
        id=_text(name),
        origin=_text(origin),
        serialization=_text(serialization),
        specification=specification & 2**31 - 1,
    )


def matches(topic: Topic, name: str) -> bool:
    """Whether a topic has an id; ``*`` in the topic matches any character, and so does what it lacks at its end."""
    return bool(topic.id) and all(
        at >= len(topic.id) or topic.id[at] in ("*", wanted) for at, wanted in enumerate(name)
    )


def request(wanted: Request, form: HeaderForm = HeaderForm.FIRST_WORD) -> list[bytes]:
    """The frames of a request: its options, and a pair that asks for any payload."""
    options = [f" -select={wanted.select}"] if wanted.select else []
    options += [" -ResetOnRequest"] if wanted.reset else []
    options += [" -SchemaOnRequest"] if wanted.schema else []
    text = "".join(options).encode()
    return [header(Topic(id=CONFIG), len(text), form), text, header(Topic(id=""), 0, form), b""]


def read_request(frames: Sequence[Buffer]) -> Request:
    """What a client asks for; a request without options is for everything.

    Raises
    ------
    SnapshotError
        If it is no request.
    """
    wanted = Request()
    for topic, payload in _pairs(frames):
        if not topic.id.startswith(CONFIG):
            continue
        if len(payload) > _LONGEST_REQUEST:
            raise SnapshotError(f"options of {len(payload):,} bytes; expected up to {_LONGEST_REQUEST:,}")
        options = {one["name"]: one["value"] for one in _OPTIONS.finditer(_text(payload))}
        wanted = Request(
            select=options.get("select") or "", reset="ResetOnRequest" in options, schema="SchemaOnRequest" in options
        )
    return wanted


def reply(
    info: str, objects: Sequence[bytes], layouts: bytes | None = None, form: HeaderForm = HeaderForm.FIRST_WORD
) -> list[bytes]:
    """The frames of a reply: class layouts if given, the state of the run, then the objects."""
    pairs: list[tuple[Topic, bytes]] = []
    if layouts is not None:
        pairs.append((Topic(id=STREAMERS, serialization="ROOT"), layouts))
    pairs.append((Topic(id=INFO, serialization="NONE"), info.encode()))
    pairs += [(Topic(id=OBJECT, origin="HLT", serialization="ROOT"), one) for one in objects]
    return [frame for topic, payload in pairs for frame in (header(topic, len(payload), form), payload)]


def read_reply(frames: Sequence[Buffer]) -> Reply:
    """The payloads of a message.

    Raises
    ------
    SnapshotError
        If a header is missing or none: then no payload is sure to be what it seems.
    """
    info: Info | None = None
    layouts_pair: tuple[Buffer, Buffer] | None = None
    objects: list[Buffer] = []
    others: dict[str, str] = {}
    for number, (topic, payload) in enumerate(_pairs(frames)):
        if matches(topic, INFO):
            info = read_info(payload)
        elif matches(topic, STREAMERS):
            layouts_pair = frames[2 * number], payload
        elif topic.is_root:
            objects.append(payload)
        elif topic.id and len(payload):
            others[f"payload {number + 1}"] = printable(topic.id)
    layouts = None if layouts_pair is None else layouts_pair[1]
    return Reply(info=info, layouts=layouts, layouts_pair=layouts_pair, objects=objects, others=others)


def announces_layouts(frames: Sequence[Buffer]) -> bool:
    """Whether a message has class layouts; false if it is no reply."""
    try:
        return any(matches(topic, STREAMERS) for topic, _ in _pairs(frames))
    except SnapshotError:
        return False


def read_info(payload: Buffer) -> Info:
    """The state of the run from a text such as ``run=300000;HLT_MODE=C;BEAM_TYPE=p-p``.

    Raises
    ------
    SnapshotError
        If it is too long, or the run is no number.
    """
    if len(payload) > _LONGEST_INFO:
        raise SnapshotError(f"a state of the run of {len(payload):,} bytes; expected up to {_LONGEST_INFO:,}")
    text = _text(payload)
    fields = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    number = fields.get("run", "0").strip()
    if not re.fullmatch(r"[0-9]{1,19}", number) or int(number) > naming.LARGEST_RUN:
        raise SnapshotError(f"run {printable(repr(number), 60)} in the state of the run is no run number")
    mode = fields.get("HLT_MODE", "").strip().upper()
    return Info(run=int(number), mode=mode if re.fullmatch("[A-Z]{1,8}", mode) else None, fields=fields, text=text)


def _pairs(frames: Sequence[Buffer]) -> list[tuple[Topic, Buffer]]:
    if not frames or len(frames) % 2:
        raise SnapshotError(f"a message of {len(frames)} frames; expected pairs of a header and a payload")
    if len(frames) > _FRAMES:
        raise SnapshotError(f"a message of {len(frames):,} frames; expected up to {_FRAMES:,}")
    return [(read_topic(frames[at]), frames[at + 1]) for at in range(0, len(frames), 2)]


def _filled(text: str, length: int) -> bytes:
    raw = text.encode("latin-1")
    if len(raw) > length:
        raise ValueError(f"{text!r} is longer than {length} bytes")
    return raw.ljust(length, b"\0")


def _text(raw: Buffer) -> str:
    content = bytes(raw).rstrip(b"\0 \n")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
