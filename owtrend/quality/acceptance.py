"""Incidents that people accepted as the new normal, and since when each histogram has another reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from owtrend.display import printable
from owtrend.errors import AmbiguousNameError, NotFoundError, UsageError
from owtrend.model.finding import Aspect, Concerned
from owtrend.quality.journal import Action, Entry, Journal, login_name
from owtrend.quality.results import store_incidents
from owtrend.store.reader import Reader

__all__ = ["Acceptance", "accept", "acceptances", "accepted_lines", "accepted_table", "undo"]


@dataclass(frozen=True)
class Acceptance:
    """An incident that is accepted: by whom, when and why, and what changed since when."""

    entry: Entry
    runs: tuple[int, ...]
    why: str  # of the incident
    histograms: tuple[Concerned, ...]

    @property
    def id(self) -> str:
        """Of the incident."""
        return self.entry.subject


def acceptances(journal: Journal) -> list[Acceptance]:
    """What is accepted now, oldest first."""
    valid: dict[str, Acceptance] = {}
    for entry in journal.entries((Action.ACCEPT, Action.UNDO_ACCEPT)):
        if entry.action is Action.UNDO_ACCEPT:
            valid.pop(entry.subject, None)
        elif entry.action is Action.ACCEPT:
            histograms = tuple(map(Concerned.from_list, entry.details["histograms"]))
            runs = tuple(map(int, entry.details["runs"]))
            valid[entry.subject] = Acceptance(entry, runs, str(entry.details["why"]), histograms)
    return list(valid.values())


def accepted_table(journal: Journal) -> pd.DataFrame:
    """What is accepted, as `owtrend.Archive.accepted` returns it."""
    rows = [
        {
            "id": one.id, "runs": one.runs, "why": one.why, "note": one.entry.note, "who": one.entry.who,
            "when": pd.Timestamp(one.entry.time).tz_convert(None),
        }
        for one in acceptances(journal)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["id", "runs", "why", "note", "who", "when"])


def accepted_lines(journal: Journal, reader: Reader) -> list[str]:
    """JSON lines of `Concerned`, all that is accepted; as `compute` knew it last where no journal can be reached."""
    remote = not journal.exists and "://" in reader.location and not reader.location.startswith("memory://")
    if remote:
        return reader.quality("accepted") or []
    return sorted({one.to_json() for accepted in acceptances(journal) for one in accepted.histograms})


def accept(reader: Reader, incident: str, *, note: str, user: str | None = None, url: str | None = None) -> Acceptance:
    """Accept an incident as the new normal: from its beginning on its histograms have another reference.

    Parameters
    ----------
    incident
        Its id, or how it begins.
    note
        Why; for the journal.
    user
        Who accepts; None: the login name.
    url
        Of the journal's database, see `Journal`.

    Raises
    ------
    NotFoundError, AmbiguousNameError
        If there is no such incident, or several.
    UsageError
        If no reason is given, it is accepted already, or it has nothing that could be a new normal.
    """
    if not note.strip():
        raise UsageError("no reason given; say why with --note, for the journal")
    journal = Journal(reader.location, url)
    before = {accepted.id: accepted for accepted in acceptances(journal)}
    incidents = {one.id: one for one in store_incidents(reader)}
    found = incidents.get(_identity(incident, [*incidents, *before], reader.location))
    if found is None or found.id in before:
        entry = (before[found.id] if found else before[_identity(incident, before, reader.location)]).entry
        raise UsageError(
            f"incident {entry.subject}: accepted already by {printable(entry.who)} at {entry.time:%F %T} UTC "
            f"({printable(entry.note)}); "
            f"`owtrend compute` scores anew with it, --undo takes it back"
        )
    histograms = tuple(one for one in found.histograms if one.aspect is not Aspect.EVENT)
    if not histograms:
        raise UsageError(
            f"incident {found.id}: {found.top.score.replace('_', ' ')} is an event, not a level: "
            f"there is no new normal to accept"
        )
    entry = journal.add(
        Action.ACCEPT, found.id, note=note, who=user or login_name(),
        details={"runs": found.runs, "why": found.top.why, "histograms": [[*one] for one in histograms]},
    )  # fmt: skip
    return Acceptance(entry, found.runs, found.top.why, histograms)


def undo(reader: Reader, incident: str, *, note: str = "", user: str | None = None, url: str | None = None) -> Entry:
    """Take an acceptance back; see `accept`.

    Raises
    ------
    NotFoundError, AmbiguousNameError
        If no such incident is accepted, or several are.
    """
    journal = Journal(reader.location, url)
    identity = _identity(incident, [one.id for one in acceptances(journal)], reader.location, "accepted incident")
    return journal.add(Action.UNDO_ACCEPT, identity, note=note, who=user or login_name(), details={})


def _identity(text: str, known: Sequence[str] | dict[str, Acceptance], where: str, what: str = "incident") -> str:
    """The one known id that is ``text`` or begins with it."""
    alike = sorted({identity for identity in known if text and identity.startswith(text.lower())})
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise AmbiguousNameError(f"{where}: {text!r} begins {len(alike)} ids: {', '.join(alike[:5])}; give more of one")
    lists = "`owtrend outliers STORE` lists incidents, `owtrend accept STORE` what is accepted"
    raise NotFoundError(f"{where}: no {what} {text!r}; {lists}")
