"""What it takes to make an account's guardrail what its file says, and the making of it.

A guardrail has a draft, which is replaced, and numbered versions, which never change. The description of a
version names the SHA-256 of its content, so that the version of a file is found again: a file that was
applied before, also by a process that was killed halfway, gets no second version.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rag.bedrock.control.guardrails import BUSY, GuardrailControl, Listed
from rag.bedrock.guardrails.changes import MADE_FROM, Change, Facts, differences, digest, facts
from rag.bedrock.guardrails.settings import GuardrailSettings
from rag.bedrock.guardrails.wire import arguments, configuration
from rag.core.displayable import Displayable

Step = Literal["create", "update", "version", "tag", "none"]


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Displayable):
    """What would change.

    Attributes
    ----------
    name : str
    digest : str
        SHA-256 of the file's content, in hexadecimal digits.
    id : str or None
        None where the account has no guardrail of this name.
    arn : str
    status : str
        As GetGuardrail has it; empty for a new one.
    changes : tuple of Change
        Of the draft.
    tags : tuple of Change
    version : str or None
        The numbered version that has the file's content.
    latest : str or None
        The newest version.
    """

    name: str
    digest: str
    id: str | None = None
    arn: str = ""
    status: str = ""
    changes: tuple[Change, ...] = ()
    tags: tuple[Change, ...] = ()
    version: str | None = None
    latest: str | None = None

    @property
    def step(self) -> Step:
        """The first thing to do."""
        if self.id is None:
            return "create"
        if self.changes:
            return "update"
        return "version" if self.version is None else "tag" if self.tags else "none"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "name": self.name, "step": self.step, "id": self.id, "status": self.status,
            "version": self.version, "latest": self.latest, "sha256": self.digest,
            "changes": [change.to_dict() for change in self.changes],
            "tags": [change.to_dict() for change in self.tags],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Applied:
    """A guardrail as `apply` leaves it.

    Attributes
    ----------
    id, arn, version : str
    made : bool
        Whether the version is a new one.
    kept_otherwise : tuple of Change
        Fields that Bedrock keeps otherwise than the file says, such as a default that is not known here.
    """

    id: str
    arn: str
    version: str
    made: bool
    kept_otherwise: tuple[Change, ...] = ()

    @property
    def setting(self) -> str:
        """What to write into ``[generator] guardrail`` of rag.toml."""
        return f"{self.id}:{self.version}"


def plan(settings: GuardrailSettings, control: GuardrailControl) -> Plan:
    """Compare a guardrail's file with what the account has; nothing is changed.

    Raises
    ------
    RagError
        A call failed.
    """
    wanted = facts(arguments(settings))
    listed = control.named(settings.name)
    if listed is None:
        tags = differences({}, settings.tags)
        return Plan(settings.name, digest(wanted), changes=tuple(differences({}, wanted)), tags=tuple(tags))
    draft = control.get(listed.id)
    versions = control.versions(listed.arn)
    return Plan(
        settings.name, digest(wanted), listed.id, listed.arn, draft["status"],
        tuple(differences(facts(configuration(draft)), wanted)),
        tuple(differences(control.tags(listed.arn), settings.tags)),
        _version_of(wanted, listed.id, versions, control), versions[0].version if versions else None,
    )  # fmt: skip


def apply(settings: GuardrailSettings, planned: Plan, control: GuardrailControl) -> Applied:
    """Make a guardrail what its file says, and return it with the version that has the file's content.

    It may be killed at any moment and run again.

    Raises
    ------
    RagError
        A call failed, or Bedrock cannot make the guardrail.
    """
    wanted, given = facts(arguments(settings)), arguments(settings)
    identifier = planned.id
    if identifier is None:
        # A day in the token: a guardrail that is deleted may be made again, if not at once.
        day = dt.datetime.now(dt.UTC).date().isoformat()
        identifier = control.create(
            given, settings.tags, _token("create", settings.name, planned.digest, day)
        )
    else:
        if planned.status in BUSY:
            control.ready(identifier)
        if planned.changes:
            control.update(identifier, given)
        _set_tags(planned, control)
    draft = control.ready(identifier)
    arn = str(draft["guardrailArn"])
    version, made = planned.version, planned.version is None
    if version is None:
        token = _token("version", identifier, planned.digest, planned.latest or "")
        version = control.number(identifier, MADE_FROM + planned.digest, token)
        control.ready(identifier)
    kept = differences(facts(configuration(draft)), wanted)
    return Applied(identifier, arn, version, made, tuple(kept))


def version_of(settings: GuardrailSettings, control: GuardrailControl) -> tuple[str, str] | None:
    """Return the id and the version of the account that has a file's content; None if there is none."""
    planned = plan(settings, control)
    return None if planned.id is None or planned.version is None else (planned.id, planned.version)


def _version_of(
    wanted: Facts, identifier: str, versions: Sequence[Listed], control: GuardrailControl
) -> str | None:
    """Return the version that has some content: the newest, or one whose description says so truly."""
    named = MADE_FROM + digest(wanted)
    for row in versions:
        if row is versions[0] or row.description == named:
            held = facts(configuration(control.get(identifier, row.version)))
            if digest(held) == digest(wanted):
                return row.version
    return None


def _set_tags(planned: Plan, control: GuardrailControl) -> None:
    values: Mapping[str, str] = {
        change.field: change.after for change in planned.tags if change.after is not None
    }
    control.tag(planned.arn, values, [change.field for change in planned.tags if change.after is None])


def _token(*parts: str) -> str:
    """Return a clientRequestToken: equal for equal requests, so that one that is repeated counts once."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
