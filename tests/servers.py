"""Real servers on this machine that take messages: HTTP for webhooks and chats, SMTP with and without TLS."""

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK = (200, {}, "ok")
RESET, MID_ANSWER, SILENT = "reset", "reset in mid-answer", "silent"


@dataclass
class WebServer:
    """Takes POSTs; ``plan`` says by the number of the request what it does: an answer, or how it fails."""

    plan: Callable[[int], Any] = lambda number: OK
    requests: list[tuple[str, dict, bytes]] = field(default_factory=list)
    accepted: list[bytes] = field(default_factory=list)  # bodies that were answered by 2xx
    port: int = 0
    end: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def bodies(self) -> list[dict]:
        return [json.loads(body) for body in self.accepted]


@contextlib.contextmanager
def web_server(plan: Callable[[int], Any] = lambda number: OK) -> Iterator[WebServer]:
    server = WebServer(plan)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.requests.append((self.path, dict(self.headers), body))
            done = server.plan(len(server.requests) - 1)
            if done == SILENT:
                server.end.wait(30)
            if done in (RESET, SILENT):
                self._reset()
                return
            if done == MID_ANSWER:
                self.wfile.write(b"HTTP/1.1 200 O")
                self.wfile.flush()
                self._reset()
                return
            status, headers, text = done
            if 200 <= status < 300:
                server.accepted.append(body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def _reset(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def log_message(self, *_: object) -> None: ...

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.handle_error = lambda *_: None
        server.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.end.set()
        listening.shutdown()
        thread.join()


@dataclass
class MailServer:
    """Takes mail; ``plan`` says by the number of the mail what it answers."""

    plan: Callable[[int], str] = lambda number: "250 OK"
    letters: list[EmailMessage] = field(default_factory=list)  # accepted
    tries: list[str] = field(default_factory=list)  # Message-IDs
    passwords: list[bytes] = field(default_factory=list)
    refused: str = ""  # address
    port: int = 0

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options) -> str:
        if address == self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        letter = message_from_bytes(envelope.content, policy=default)
        self.tries.append(letter["Message-ID"])
        answer = self.plan(len(self.tries) - 1)
        if answer.startswith("250"):
            self.letters.append(letter)
        return answer

    def authenticate(self, server, session, envelope, mechanism, data):
        from aiosmtpd.smtp import AuthResult

        self.passwords.append(data.password)
        return AuthResult(success=data.password == b"correct horse", handled=False)


@contextlib.contextmanager
def mail_server(
    plan: Callable[[int], str] = lambda number: "250 OK", *, context: ssl.SSLContext | None = None, login: bool = False
) -> Iterator[MailServer]:  # fmt: skip
    from aiosmtpd.controller import Controller

    server = MailServer(plan)
    more = {"authenticator": server.authenticate, "auth_required": True} if login else {}
    with socket.create_server(("127.0.0.1", 0)) as free:
        server.port = free.getsockname()[1]
    controller = Controller(
        server, "127.0.0.1", server.port, tls_context=context, require_starttls=bool(context), **more
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


def certificate(folder) -> tuple[str, ssl.SSLContext]:
    """A certificate for this machine, signed by itself: its file, and what a server needs of it."""
    paths = [str(folder / "key.pem"), str(folder / "certificate.pem")]
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind.split(), *names, "-keyout", paths[0], "-out", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths[1], paths[0])
    return paths[1], context
