"""What records say of a window of time: latencies, errors, tokens and dollars, by whatever they have.

Records are read line by line; of each only some numbers are kept, so that a million fits some hundred
megabytes. Quantiles are exact.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rag.core.displayable import Displayable
from rag.core.errors import SourceError
from rag.core.format import counted, dollars
from rag.core.table import Table
from rag.telemetry.records import READ

#: What records can be grouped by.
BY = ("model", "tag", "tenant", "prompt", "tier", "index", "task")
_TIMES = {"first token": "first_token", "whole": "whole", "retrieval": "retrieve"}


@dataclass(slots=True)
class Group:
    """Sums over the records of a group; dollars of those without a known price are left out."""

    questions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    usd: float = 0.0
    unpriced: int = 0


@dataclass(slots=True, repr=False)
class Dashboard(Displayable):
    """What happened in a window of time.

    Attributes
    ----------
    questions : int
    outcomes, errors : Counter of str
        Questions by how they ended, and failures by the class of the error.
    flags : Counter of str
        Cache hits, fallbacks, escalations, unsupported answers, guardrail interventions, throttles, retries.
    first, last : str
        Times of the first and the last record.
    unreadable : int
        Lines that are no records.
    """

    questions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    times: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in _TIMES})
    groups: dict[str, dict[str, Group]] = field(default_factory=dict)
    total: Group = field(default_factory=Group)
    first: str = ""
    last: str = ""
    unreadable: int = 0

    def add(self, record: Mapping[str, Any], by: Sequence[str]) -> None:
        """Count a record."""
        self.questions += 1
        self.outcomes[str(record["outcome"])] += 1
        if record.get("error"):
            self.errors[str(record["error"])] += 1
        supported = record.get("supported")
        for name, there in (
            ("from the response cache", record.get("cache") is not None),
            ("a model stood in", bool(record.get("fallbacks"))),
            ("escalated", bool(record.get("escalations"))),
            ("not supported", supported is not None and supported < 1),
            ("guardrail", record.get("guardrail") is not None),
            ("throttled", bool(record.get("throttles"))),
            ("retried", bool(record.get("retries"))),
        ):  # fmt: skip
            self.flags[name] += there
        seconds = record["seconds"]
        for name, key in _TIMES.items():
            if seconds.get(key) is not None:
                self.times[name].append(seconds[key])
        _count(self.total, record)
        for name in by:
            of = self.groups.setdefault(name, {})
            _count(of.setdefault(str(record.get(name) or "-"), Group()), record)
        at = str(record["time"])
        self.first, self.last = min(self.first or at, at), max(self.last, at)

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Return the 50th, 95th and 99th percentiles of each time, in seconds."""
        found = {}
        for name, values in self.times.items():
            if values:
                points = np.quantile(np.frombuffer(values, np.float32), (0.5, 0.95, 0.99))
                found[name] = dict(zip(("p50", "p95", "p99"), map(float, points), strict=True))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "questions": self.questions, "first": self.first, "last": self.last,
            "outcomes": dict(self.outcomes), "errors": dict(self.errors), "flags": dict(self.flags),
            "seconds": self.quantiles(), "total": asdict(self.total), "unreadable": self.unreadable,
            "by": {name: {key: asdict(each) for key, each in of.items()} for name, of in self.groups.items()},
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Return the tables, each at most 80 columns wide for names of usual length."""
        caption = f"{counted(self.questions, 'question')}, {self.first[:19]} to {self.last[:19]} UTC"
        counts = {**self.outcomes, **{name: count for name, count in self.flags.items() if count}}
        shares = [(name, f"{count:,}", f"{count / self.questions:.1%}") for name, count in counts.items()]
        tables = [Table(caption, ("what became of them", "", "share"), shares)]
        if self.errors:
            errors = [(name, f"{count:,}") for name, count in self.errors.most_common(10)]
            tables.append(Table("errors", ("class", "questions"), errors))
        rows = [
            (name, *(f"{values[each]:.2f}" for each in ("p50", "p95", "p99")))
            for name, values in self.quantiles().items()
        ]
        tables.append(Table("seconds", ("", "p50", "p95", "p99"), rows))
        for name, of in self.groups.items():
            ordered = sorted(of.items(), key=lambda each: (-each[1].usd, -each[1].questions))[:20]
            tables.append(Table(
                f"by {name}", (name, "questions", "tokens in", "out", "cached", "dollars"),
                [(key, *_row(each)) for key, each in [*ordered, ("all", self.total)]],
            ))  # fmt: skip
        return tables


def _row(each: Group) -> tuple[str, ...]:
    usd = dollars(each.usd) + (f" (+{each.unpriced} unpriced)" if each.unpriced else "")
    counts = (each.questions, each.input_tokens, each.output_tokens, each.cache_read)
    return (*(f"{count:,}" for count in counts), usd)


def _count(group: Group, record: Mapping[str, Any]) -> None:
    tokens = record["tokens"]
    group.questions += 1
    group.input_tokens += tokens["input"]
    group.output_tokens += tokens["output"]
    group.cache_read += tokens["cache_read"]
    if record["usd"] is None:
        group.unpriced += 1
    else:
        group.usd += record["usd"]


def summarize(
    paths: Iterable[Path], *, since: dt.datetime | None = None, by: Sequence[str] = ("model",)
) -> Dashboard:
    """Read files of records, rotated and packed ones (``.gz``) too.

    Parameters
    ----------
    paths : iterable of Path
    since : datetime, optional
        Records before are left out.
    by : sequence of str
        Of `BY`.

    Raises
    ------
    SourceError
        A file cannot be read.

    Examples
    --------
    >>> summarize([Path("calls.jsonl")], by=("model", "tenant")).quantiles()            # doctest: +SKIP
    """
    found = Dashboard()
    oldest = "" if since is None else since.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    for path in paths:
        for row in _rows(path):
            try:
                if row["schema"] not in READ:
                    found.unreadable += 1
                elif row["time"].replace("Z", "+00:00") >= oldest:
                    found.add(row, by)
            except (KeyError, TypeError, AttributeError):
                found.unreadable += 1
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for line in _lines(path):
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict):
                    yield row
    except (OSError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is cut or damaged"
        raise SourceError(f"cannot read {path}: {reason}") from None


def _lines(path: Path) -> Iterator[bytes]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as packed:
            yield from packed
    else:
        with path.open("rb") as plain:
            yield from plain
