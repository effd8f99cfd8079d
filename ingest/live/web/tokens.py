"""Tokens of senders: a file with a name and a hash in each line; the token itself is shown once and kept nowhere."""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from owtrend.display import quoted
from owtrend.errors import UsageError

__all__ = ["Tokens", "add_token"]

_CLIENT = re.compile(r"[\w.-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST = 512  # characters of a token that is looked at


@dataclass(frozen=True)
class Tokens:
    """Hashes of tokens, by client."""

    hashes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Tokens":
        """Those of a file.

        Raises
        ------
        UsageError
            If it cannot be read, or a line is no name and hash.
        """
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read ({error}); make it with --add-token NAME") from error
        hashes = {}
        for number, line in enumerate(lines, start=1):
            client, _, digest = line.partition(" ")
            if not line.strip() or line.startswith("#"):
                continue
            if not _CLIENT.fullmatch(client) or not _HASH.fullmatch(digest):
                raise UsageError(f"{path}, line {number}: expected a name and a hash, as --add-token writes them")
            hashes[client] = digest
        return cls(hashes)

    def client(self, token: str) -> str | None:
        """Whose token it is; takes as long whichever is compared, so that the time says nothing."""
        digest, found = _hash(token[:_LONGEST]), None
        for client, known in self.hashes.items():
            if hmac.compare_digest(digest, known):
                found = client
        return found


def add_token(path: Path, client: str) -> str:
    """A new token for a client, whose hash is added to the file.

    Raises
    ------
    UsageError
        If the name is none, or has a token already.
    """
    if not _CLIENT.fullmatch(client):
        raise UsageError(f"client {quoted(client)}: expected letters, digits, _, - and ., at most 64")
    if path.exists() and client in Tokens.load(path).hashes:
        raise UsageError(f"{path}: {client} has a token; take its line out first")
    token = secrets.token_urlsafe(32)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "a") as file:
        file.write(f"{client} {_hash(token)}\n")
    return token


def _hash(token: str) -> str:
    """Tokens are random, so a plain hash cannot be searched."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
