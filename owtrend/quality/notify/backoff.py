"""When a message that could not be sent is tried again."""

import hashlib

from owtrend.quality.journal.outbox import SECOND
from owtrend.quality.notify.message import Answer, Outcome

__all__ = ["delay"]

FIRST = 15 * SECOND
LONGEST = 1800 * SECOND
FIRST_REFUSED = 3600 * SECOND
LONGEST_REFUSED = 24 * 3600 * SECOND
LONGEST_ASKED = 6 * 3600 * SECOND  # that a server may ask for


def delay(identity: str, tries: int, answer: Answer) -> int:
    """How long to wait after try number ``tries`` [ns].

    It doubles from 15 s to 30 min, and from an hour to a day for what is refused. A server that asks for more time gets
    it, up to six hours. A quarter less to a quarter more, by the message and the try, so that not all come back at
    once; never more than the longest.
    """
    refused = answer.outcome is Outcome.REFUSED
    first, longest = (FIRST_REFUSED, LONGEST_REFUSED) if refused else (FIRST, LONGEST)
    doubled = min(first << min(max(tries - 1, 0), 20), longest)
    byte = hashlib.blake2b(f"{identity} {tries}".encode(), digest_size=1).digest()[0]
    asked = round(min(answer.retry_after or 0, LONGEST_ASKED / SECOND) * SECOND)
    return max(min(doubled * (192 + byte // 2) // 256, longest), asked)
