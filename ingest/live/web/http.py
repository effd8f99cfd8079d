"""HTTP: Overwatch's calls for files with their answers, and snapshots, state and metrics of version 2."""

import asyncio
import contextlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from ingest.limits import Limits
from ingest.live.payloads import FILE, check_file, named_file_meta
from ingest.live.spool import Received, Spool, SpoolError, SpoolFullError
from ingest.live.web.metrics import metrics
from ingest.live.web.tokens import Tokens
from owtrend.display import printable
from owtrend.errors import SnapshotError, UsageError
from owtrend.model.snapshot import Snapshot

__all__ = ["HttpDoor", "application", "is_loopback", "serving"]

_SLOWEST = 120.0  # [s] for a whole upload
_HANGS = 120.0  # [s] without a step of the writer
_AGENT = re.compile(r"[A-Za-z0-9-]{1,32}")
_REMEMBERED = 1000  # names of files
_RETRY = {"Retry-After": "10"}


@dataclass(frozen=True)
class HttpDoor:
    """What the calls need of a receiver.

    Parameters
    ----------
    state
        As `owtrend status` shows it.
    timezone
        Zone of the times in names.
    """

    spool: Spool
    state: Callable[[], Mapping[str, Any]]
    tokens: Tokens = field(default_factory=Tokens)
    limits: Limits = field(default_factory=Limits)
    timezone: str = "Europe/Zurich"
    names: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def allows(self, request: Request) -> bool:
        """Whether the sender has a token; without any only this machine is listened to."""
        if not self.tokens.hashes:
            return True
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = bearer if scheme.lower() == "bearer" else request.headers.get("token", "")
        return self.tokens.client(token) is not None

    def take(self, name: str, content: bytes) -> tuple[Received, Snapshot]:
        """Put a file into the spool; its bytes are decoded first, so that the sender learns what is wrong.

        Raises
        ------
        SnapshotError
            If the name or the content is none of a snapshot.
        SpoolError
            If it is not on the disk now.
        """
        meta = named_file_meta(name, timezone=self.timezone)
        snapshot = check_file(content, meta, self.limits)
        received = self.spool.put(FILE, content, meta)
        if name not in self.names:
            self.names.append(name)
        return received, snapshot


def application(door: HttpDoor) -> FastAPI:
    """The application of a receiver."""
    app = FastAPI(title="owtrend receive", version="2", docs_url=None, redoc_url=None)
    _overwatch(app, door)
    _version_2(app, door)
    return app


def _overwatch(app: FastAPI, door: HttpDoor) -> None:
    """The calls of Overwatch's DQM receiver: what is wrong is 400 there, whatever it is."""

    def refused() -> JSONResponse:
        return JSONResponse({"message": "Unauthorized: a valid token is needed"}, status_code=400)

    @app.api_route("/", methods=["GET", "POST"], include_in_schema=False)
    def root(request: Request) -> JSONResponse:
        return JSONResponse({"message": "Not implemented"}, status_code=400) if door.allows(request) else refused()

    @app.get("/rest/api/files", include_in_schema=False)
    def names(request: Request) -> JSONResponse:
        if not door.allows(request):
            return refused()
        return JSONResponse({"files": [name for name in door.names if "DQM" in name]})

    @app.get("/rest/api/files/{filename}", include_in_schema=False)
    def one(request: Request, filename: str) -> Response:
        if not door.allows(request):
            return refused()
        for payload in door.spool.take(_REMEMBERED, 10**9):
            if payload.meta.get("source") == filename:
                return Response(payload.content, media_type="application/octet-stream")
        return JSONResponse({"message": "no such file waits; what was stored is in the store"}, status_code=404)

    @app.post("/rest/api/files", include_in_schema=False)
    async def upload(request: Request) -> JSONResponse:
        if not door.allows(request):
            return refused()

        def failed(message: str) -> JSONResponse:
            return JSONResponse({"status": 400, "message": message, "received": None}, status_code=400)

        try:
            name = _dqm_name(request.headers, door.timezone)
            content = _file_part(await _body(request, door.spool), request.headers.get("content-type", ""))
            if not content:
                return failed("No payload was received; expected the bytes of a ROOT file")
            _, snapshot = await run_in_threadpool(door.take, name, content)
        except SpoolFullError as error:
            return JSONResponse({"status": 503, "message": str(error), "received": None}, 503, headers=_RETRY)
        except (SnapshotError, SpoolError, UsageError) as error:
            return failed(printable(str(error), 500))
        described = {
            "/".join(path): f"Name: {path[-1]} Title: {one.title} NbinsX: {len(one.axes[0])}"
            for path, one in snapshot.items()
        }
        return JSONResponse(
            {
                "status": 200, "filename": name, "message": "Successfully received file and extracted information",
                "received": described, "receivedHeaders": _sent(request.headers),
            }
        )  # fmt: skip


def _version_2(app: FastAPI, door: HttpDoor) -> None:
    """Snapshots with proper status codes, the state, and metrics."""

    def unauthorized() -> JSONResponse:
        return JSONResponse(
            {"detail": "a valid token is needed: Authorization: Bearer TOKEN"}, 401, {"WWW-Authenticate": "Bearer"}
        )

    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "It was known already"}, 201: {"description": "On the disk of the receiver"},
        401: {"description": "No valid token"}, 408: {"description": "Too slow"}, 413: {"description": "Too large"},
        422: {"description": "No snapshot"}, 503: {"description": "Not taken now; send it again later"},
    }  # fmt: skip

    @app.post(
        "/api/v2/snapshots", responses=answers, status_code=201,
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {
            "schema": {"type": "string", "format": "binary"}}}}},
    )  # fmt: skip
    async def snapshot(request: Request, name: str) -> JSONResponse:
        """Send a ROOT file; `name` has subsystem, run, mode and time: EMChistos_300000_C_2018_6_1_12_0_0.root.

        The same file under the same name may be sent again: it is stored once.
        """
        if not door.allows(request):
            return unauthorized()
        try:
            content = await _body(request, door.spool)
            received, taken = await run_in_threadpool(door.take, name, content)
        except TimeoutError:
            return JSONResponse({"detail": f"the upload took more than {_SLOWEST:.0f} s"}, 408)
        except SpoolFullError as error:
            return JSONResponse({"detail": str(error)}, 503, _RETRY)
        except _TooLargeError as error:
            return JSONResponse({"detail": str(error)}, 413)
        except SpoolError as error:
            return JSONResponse({"detail": str(error)}, 503, _RETRY)
        except (SnapshotError, UsageError) as error:
            return JSONResponse({"detail": printable(str(error), 500)}, 422)
        fields = {"id": received.identity, "known": received.known, "histograms": len(taken)}
        return JSONResponse(fields, 200 if received.known else 201)

    @app.get("/api/v2/status", responses={401: answers[401]})
    def status(request: Request) -> JSONResponse:
        """The state of the receiver."""
        return JSONResponse(dict(door.state())) if door.allows(request) else unauthorized()

    @app.get("/health", responses={503: {"description": "Nothing is stored"}})
    def health() -> JSONResponse:
        """Whether snapshots are received and stored."""
        state = door.state()
        well = state["state"] == "receiving" and state["last_step_seconds"] < _HANGS
        return JSONResponse({"status": "ok" if well else "trouble"}, 200 if well else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    def prometheus() -> Response:
        """Metrics of the receiver for Prometheus."""
        text, kind = metrics(door.state())
        return Response(text, media_type=kind)


class _TooLargeError(SpoolError):
    """An upload that is too large."""


async def _body(request: Request, spool: Spool) -> bytes:
    """The whole body, which may have a certain size and take a certain time; refused early where that is known."""
    limit = spool.limits.payload_bytes
    message = f"an upload of more than {limit:,} bytes"
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:18]) > limit:
        raise _TooLargeError(message)
    spool.require_room()
    content = bytearray()
    async with asyncio.timeout(_SLOWEST):
        async for piece in request.stream():
            content += piece
            if len(content) > limit:
                raise _TooLargeError(message)
    return bytes(content)


def _file_part(body: bytes, content_type: str) -> bytes:
    """The part ``file`` of a form, or the body itself if it is no form."""
    match = re.match(r"multipart/form-data;.*?boundary=\"?([^\";,\s]{1,70})", content_type, re.IGNORECASE)
    if match is None:
        return body
    mark = b"\r\n--" + match[1].encode("latin-1", "replace")
    for part in (b"\r\n" + body).split(mark)[1:]:
        head, found, content = part.partition(b"\r\n\r\n")
        if found and re.search(rb'name="?file"?(;|\s|$)', head):
            return content
    return b""


def _dqm_name(headers: Mapping[str, str], timezone: str) -> str:
    """The name of a file of AMORE, by Overwatch's headers.

    Raises
    ------
    UsageError
        If run or time are missing or no numbers.
    """
    numbers = {}
    for header in ("runNumber", "timeStamp"):
        text = headers.get(header, "")
        if not re.fullmatch(r"[0-9]{1,12}", text):
            raise UsageError(f"header {header}: {printable(text, 60)!r} is no number; expected one above 0")
        numbers[header] = int(text)
    status, agent = headers.get("dataStatus", "0"), headers.get("amoreAgent", "DQM")
    if status not in ("0", "1", "2"):
        raise UsageError(f"header dataStatus: {printable(status, 60)!r}; expected 0, 1 or 2")
    if not _AGENT.fullmatch(agent):
        raise UsageError(f"header amoreAgent: {printable(agent, 60)!r}; expected letters, digits and -")
    try:
        when = datetime.fromtimestamp(numbers["timeStamp"], UTC).astimezone(ZoneInfo(timezone))
    except (OverflowError, ValueError, OSError) as error:
        raise UsageError(f"header timeStamp: {numbers['timeStamp']} is no time: {error}") from error
    return f"{agent}histos_{numbers['runNumber']}_DQM_{when:%Y_%m_%d_%H_%M_%S}.root"


def _sent(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that Overwatch sends back."""
    known = {name: headers.get(name) for name in ("runNumber", "timeStamp", "amoreAgent", "dataStatus")}
    return {name: printable(value, 100) for name, value in known.items() if value is not None}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def serving(app: FastAPI, host: str, port: int) -> Iterator[None]:
    """Serve an application from a thread.

    Raises
    ------
    UsageError
        If it does not come up.
    """
    import uvicorn

    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, lifespan="off", limit_concurrency=64,
        timeout_keep_alive=30, timeout_graceful_shutdown=10,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="owtrend-http", daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started and thread.is_alive() and time.monotonic() < end:
        time.sleep(0.02)  # uvicorn has no event for it
    if not server.started:
        raise UsageError(f"cannot listen on {host}, port {port}; is it in use?")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(15)
