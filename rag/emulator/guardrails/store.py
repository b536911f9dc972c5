"""The guardrails of an emulated account: drafts, numbered versions, their states and tags."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.emulator.wire import ACCOUNT, Refusal

#: Quotas of an account and of a guardrail (Amazon Bedrock endpoints and quotas, "Guardrails", November 2026).
MOST_GUARDRAILS, MOST_VERSIONS = 100, 20
_POLICY = ("topic", "content", "word", "sensitiveInformation", "contextualGrounding", "automatedReasoning")
#: The members of CreateGuardrail that a version keeps.
KEPT = (
    "name", "blockedInputMessaging", "blockedOutputsMessaging", "crossRegionConfig",
    *(f"{name}PolicyConfig" for name in _POLICY),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Version:
    """A guardrail as it is, or was when a version was made of it; `config` is as CreateGuardrail takes it."""

    config: Mapping[str, Any]
    description: str | None
    created: float
    updated: float


@dataclass(slots=True)
class Guardrail:
    """A guardrail of the account."""

    id: str
    arn: str
    draft: Version
    kms_key: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    last: int = 0
    tokens: dict[str, str] = field(default_factory=dict)
    busy: str = ""
    ready_at: float = 0.0

    @property
    def name(self) -> str:
        """The draft's name."""
        return str(self.draft.config["name"])

    @property
    def status(self) -> str:
        """A GuardrailStatus."""
        return self.busy if self.busy and time.time() < self.ready_at else "READY"

    def version(self, name: str) -> Version | None:
        """Return the draft or a numbered version; None if there is none of this name."""
        return self.draft if name in ("", "DRAFT") else self.versions.get(name)


class Guardrails:
    """The guardrails of an emulator.

    Attributes
    ----------
    known : dict of str to Guardrail
        By id.
    busy_s : float
        Seconds that a guardrail is CREATING, UPDATING or VERSIONING.
    """

    def __init__(self, busy_s: float = 0.0) -> None:
        self.lock = threading.RLock()
        self.known: dict[str, Guardrail] = {}
        self.busy_s = busy_s
        self._made = 0

    def find(self, identifier: str) -> Guardrail:
        """Return a guardrail by its id or ARN.

        Raises
        ------
        Refusal
            There is none.
        """
        guardrail = self.known.get(identifier.rsplit("/", 1)[-1])
        if guardrail is None or identifier not in (guardrail.id, guardrail.arn):
            raise Refusal("ResourceNotFoundException", f"The guardrail {identifier} does not exist.")
        return guardrail

    def add(self, params: Mapping[str, Any], region: str) -> Guardrail:
        """Make a guardrail; an equal token returns the one that it made before.

        Raises
        ------
        Refusal
            The name is taken, or the quota is used up.
        """
        token = params.get("clientRequestToken")
        for each in self.known.values():
            if token and each.tokens.get(f"create {token}"):
                return each
            if each.name == params["name"]:
                raise Refusal("ConflictException", f"A guardrail with the name {each.name} already exists.")
        if len(self.known) >= MOST_GUARDRAILS:
            raise Refusal("ServiceQuotaExceededException", f"The account has {MOST_GUARDRAILS} guardrails.")
        self._made += 1
        name = hashlib.blake2b(f"{self._made} {params['name']}".encode(), digest_size=6).hexdigest()
        arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:guardrail/{name}"
        now = time.time()
        made = Guardrail(
            name, arn, _version(params, now, now), _key(params.get("kmsKeyId"), region),
            {tag["key"]: tag["value"] for tag in params.get("tags", ())},
        )  # fmt: skip
        made.tokens[f"create {token}"] = "DRAFT"
        self.known[name] = made
        self.engage(made, "CREATING")
        return made

    def update(self, guardrail: Guardrail, params: Mapping[str, Any], region: str) -> None:
        """Replace a guardrail's draft."""
        self._must_be_ready(guardrail)
        others = (each for each in self.known.values() if each is not guardrail)
        if any(each.name == params["name"] for each in others):
            raise Refusal("ConflictException", f"A guardrail with the name {params['name']} already exists.")
        guardrail.draft = _version(params, guardrail.draft.created, time.time())
        guardrail.kms_key = _key(params.get("kmsKeyId"), region)
        self.engage(guardrail, "UPDATING")

    def number(self, guardrail: Guardrail, description: str | None, token: str | None) -> str:
        """Make a numbered version of the draft; an equal token returns the one that it made before."""
        if token and (made := guardrail.tokens.get(f"version {token}")):
            return made
        self._must_be_ready(guardrail)
        if len(guardrail.versions) >= MOST_VERSIONS:
            raise Refusal("ServiceQuotaExceededException", f"The guardrail has {MOST_VERSIONS} versions.")
        guardrail.last += 1
        number, now = str(guardrail.last), time.time()
        guardrail.versions[number] = Version(guardrail.draft.config, description, now, now)
        guardrail.tokens[f"version {token}"] = number
        self.engage(guardrail, "VERSIONING")
        return number

    def engage(self, guardrail: Guardrail, status: str) -> None:
        """Let a guardrail be in a state for a while."""
        guardrail.busy, guardrail.ready_at = status, time.time() + self.busy_s

    def _must_be_ready(self, guardrail: Guardrail) -> None:
        if guardrail.status != "READY":
            raise Refusal(
                "ConflictException", f"The guardrail {guardrail.id} is {guardrail.status}: try again later."
            )


def _version(params: Mapping[str, Any], created: float, updated: float) -> Version:
    config = {name: params[name] for name in KEPT if name in params}
    return Version(config, params.get("description"), created, updated)


def _key(given: str | None, region: str) -> str | None:
    """Return the ARN of a key; the key behind an alias is made up from its name."""
    if given is None or ":key/" in given:
        return given
    name = given.rsplit(":", 1)[-1]
    if name.startswith("alias/"):
        digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        name = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{name}"
