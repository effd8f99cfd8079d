"""Ports: whether a server can listen on one, asked before a minute of work."""

import errno
import socket

from owtrend.errors import UsageError

__all__ = ["require_free"]


def require_free(address: str, port: int) -> None:
    """Raise UsageError, with advice, unless a server can listen here."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does, for one that just ended
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} of {address} is in use, perhaps by another owtrend serve; "
                    f"choose another, for example with --port {port + 1 if port < 65535 else port - 1}"
                ) from error
            raise UsageError(f"cannot listen on {address}, port {port}: {error}; choose others") from error
