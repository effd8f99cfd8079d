"""Endpoints such as ``REQ>tcp://localhost:60201`` -> a socket: its type, what it binds and what it connects to."""

import re
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import zmq

from owtrend.display import quoted
from owtrend.errors import UsageError

__all__ = ["Endpoint", "open_socket", "parse"]

_TYPES = ("REQ", "SUB", "PULL", "REP", "PUB", "PUSH")
_QUEUE = 10  # messages
_ENDPOINT = re.compile(r"([@>+-]?)((?:tcp|ipc|inproc)://\S+)")
_RECONNECT, _LONGEST_RECONNECT = 100, 5000  # [ms] between two attempts of ZeroMQ's own to connect


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Type of a socket, and its addresses, each with whether it is bound."""

    type: str
    addresses: tuple[tuple[str, bool], ...]
    text: str

    def __str__(self) -> str:
        return self.text


def parse(text: str, types: tuple[str, ...]) -> Endpoint:
    """The endpoint that a text describes: a type, then addresses, each after ``@`` to bind or ``>`` to connect.

    Raises
    ------
    UsageError
        If it is none of these ``types``, or has no address.
    """
    kind = text[: len(text) - len(text.lstrip(ascii_uppercase))]
    addresses = []
    sign = ">"
    for part in filter(None, text[len(kind) :].split(",")):
        found = _ENDPOINT.fullmatch(part.strip())
        if found is None:
            break
        sign = found[1] or sign  # of several, the first says how
        addresses.append((found[2], sign == "@"))
    else:
        if kind in types and kind in _TYPES and addresses:
            return Endpoint(kind, tuple(addresses), text)
    raise UsageError(
        f"endpoint {quoted(text)}: expected {', '.join(types)}, then @ to bind or > to connect, then an address, for "
        f"example {types[0]}>tcp://localhost:60201"
    )


def open_socket(context: zmq.Context[Any], endpoint: Endpoint, longest: int) -> zmq.Socket[Any]:
    """A socket at an endpoint, which takes no frame of more than ``longest`` bytes.

    Raises
    ------
    zmq.ZMQError
        If an address cannot be bound, or is none.
    """
    socket = context.socket(getattr(zmq, endpoint.type))
    try:
        socket.setsockopt(zmq.LINGER, 10 if endpoint.type in ("REP", "PUB", "PUSH") else 0)
        socket.set_hwm(_QUEUE)
        socket.setsockopt(zmq.MAXMSGSIZE, longest)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _LONGEST_RECONNECT)
        if endpoint.type == "SUB":
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        for address, bound in endpoint.addresses:
            (socket.bind if bound else socket.connect)(address)
    except zmq.ZMQError:
        socket.close(linger=0)
        raise
    return socket
