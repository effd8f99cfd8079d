"""A sender that speaks as the HLT's merger does: for tests, simulations and replays."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import zmq

from ingest.live.hlt.endpoint import open_socket, parse
from ingest.live.hlt.known_layouts import known_layouts_message
from ingest.live.hlt.tmessage import Packing, message, with_class
from ingest.live.hlt.wire import HeaderForm, Request, read_request, reply
from owtrend.errors import SnapshotError
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot

__all__ = ["HltSender", "histogram_message", "info_of"]

_LONGEST_REQUEST = 2**16  # [bytes]


def histogram_message(histogram: Histogram, packing: Packing | None = None) -> bytes:
    """The message of a histogram. Its name on the wire is that of its path: the merger has no folders."""
    from owtrend.output.root_writer import root_object

    content = root_object(histogram).serialize(name="/".join(histogram.path))
    return message(with_class(histogram.class_name, content), packing)


def info_of(snapshot: Snapshot, *, with_time: bool = False) -> str:
    """The state of the run as the merger sends it; ``with_time`` also the time of the snapshot [ms UTC]."""
    text = f"run={snapshot.run or 0};HLT_MODE={snapshot.mode or 'C'}"
    if with_time and snapshot.time is not None:
        text += f";time={int(snapshot.time.astype('datetime64[ms]').astype(np.int64))}"
    return text


class HltSender:
    """A merger: answers requests (``REP``), or sends to whoever listens (``PUB``, ``PUSH``).

    Parameters
    ----------
    endpoint
        For example ``REP@tcp://127.0.0.1:60201``.
    form, packing
        Of the headers, and of objects.
    announce
        Send class layouts to those who ask for them, and with each message of ``PUB`` and ``PUSH``.
    """

    def __init__(
        self, endpoint: str, *, form: HeaderForm = HeaderForm.FIRST_WORD, packing: Packing | None = None,
        announce: bool = True, context: zmq.Context[Any] | None = None,
    ) -> None:  # fmt: skip
        self.form, self.packing, self.announce = form, packing, announce
        self.endpoint = parse(endpoint, ("REP", "PUB", "PUSH"))
        self.info = ""
        self.requests: list[Request] = []
        self._objects: dict[str, bytes] = {}
        self._encoded: dict[str, tuple[Histogram, bytes]] = {}
        self._socket = open_socket(context or zmq.Context.instance(), self.endpoint, _LONGEST_REQUEST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def show(self, info: str, histograms: Mapping[Any, Histogram] | Iterable[Histogram]) -> None:
        """Take these as what is sent from now on; a histogram that is the same object is not encoded again."""
        values = histograms.values() if isinstance(histograms, Mapping) else histograms
        encoded: dict[str, tuple[Histogram, bytes]] = {}
        for histogram in values:
            name = "/".join(histogram.path)
            known = self._encoded.get(name)
            same = known is not None and known[0] is histogram
            encoded[name] = known if same and known else (histogram, histogram_message(histogram, self.packing))
        self.info, self._encoded = info, encoded
        self._objects = {name: encoded[name][1] for name in sorted(encoded)}  # the merger sends in order of names

    def frames(self, wanted: Request) -> list[bytes]:
        """The frames of a reply to a request."""
        try:
            selected = re.compile(wanted.select)
        except re.error:
            selected = re.compile(re.escape(wanted.select))
        objects = [one for name, one in self._objects.items() if selected.search(name)]
        layouts = known_layouts_message(self.packing) if wanted.schema and self.announce else None
        return reply(self.info, objects, layouts, self.form)

    def answer(self, seconds: float) -> Request | None:
        """Answer one request of a ``REP`` socket; None if none comes in time. What is no request gets no objects."""
        if not self._socket.poll(int(1000 * seconds)):
            return None
        try:
            wanted = read_request(self._socket.recv_multipart())
            frames = self.frames(wanted)
        except SnapshotError:
            wanted, frames = Request(), reply(self.info, [], None, self.form)
        self._socket.send_multipart(frames, copy=False)
        self.requests.append(wanted)
        if wanted.reset:  # the merger has none until its components send again
            self._objects = {}
        return wanted

    def send(self, seconds: float = 10.0) -> bool:
        """Send a message by a ``PUB`` or ``PUSH`` socket; false if nobody took it in time."""
        if not self._socket.poll(int(1000 * seconds), zmq.POLLOUT):
            return False
        self._socket.send_multipart(self.frames(Request(schema=True)), zmq.NOBLOCK, copy=False)
        return True
