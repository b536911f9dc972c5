"""The progress and the result of an ingestion job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rag.core.displayable import Displayable

#: Final statuses of an ingestion job (botocore 1.44.5's model of bedrock-agent, IngestionJobStatus).
ENDED = ("COMPLETE", "FAILED", "STOPPED")


@dataclass(frozen=True, slots=True, repr=False)
class Ingestion(Displayable):
    """An ingestion job: what it has done so far.

    Attributes
    ----------
    scanned, new, modified, deleted, failed, skipped : int
        Documents.
    metadata_scanned, metadata_modified : int
        Sidecars.
    failures : tuple of str
        AWS's reasons, one each.
    joined : bool
        Whether it was under way when it was asked for.
    """

    id: str
    status: str
    scanned: int = 0
    new: int = 0
    modified: int = 0
    deleted: int = 0
    failed: int = 0
    skipped: int = 0
    metadata_scanned: int = 0
    metadata_modified: int = 0
    failures: tuple[str, ...] = ()
    joined: bool = field(default=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED

    @property
    def done(self) -> int:
        """Documents that are dealt with, but for those that have not changed."""
        return self.new + self.modified + self.deleted + self.failed + self.skipped

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def ingestion_of(job: Mapping[str, Any]) -> Ingestion:
    """Read an ingestion job, or its summary, of a reply."""
    counts = job.get("statistics", {})
    reasons = [line for reason in job.get("failureReasons", ()) for line in _lines(reason)]
    return Ingestion(
        job["ingestionJobId"], job["status"], counts.get("numberOfDocumentsScanned", 0),
        counts.get("numberOfNewDocumentsIndexed", 0), counts.get("numberOfModifiedDocumentsIndexed", 0),
        counts.get("numberOfDocumentsDeleted", 0), counts.get("numberOfDocumentsFailed", 0),
        counts.get("numberOfDocumentsSkipped", 0), counts.get("numberOfMetadataDocumentsScanned", 0),
        counts.get("numberOfMetadataDocumentsModified", 0), tuple(reasons),
    )  # fmt: skip


def _lines(reason: str) -> list[str]:
    """Return the reasons in a text, which AWS writes as a JSON list of several at times."""
    try:
        several = json.loads(reason)
    except ValueError:
        several = None
    return [" ".join(str(each).split()) for each in (several if isinstance(several, list) else [reason])]
