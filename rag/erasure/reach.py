"""Where copies of a document may be that the library does not reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

#: Files that are listed by name.
_MOST = 3


def not_reached(
    root: str,
    documents: Iterable[str],
    version: int,
    *,
    folder: str = "",
    remotes: Iterable[str] = (),
    logs: Iterable[str] = (),
) -> tuple[str, ...]:
    """Return what an erasure does not reach, a line each.

    Parameters
    ----------
    root : str
        The folder or URL from which the index was built.
    documents : iterable of str
    version : int
        The current one after the erasure.
    folder : str
        The index's.
    remotes : iterable of str
        URLs that the folder was pushed to or pulled from.
    logs : iterable of str
        Log groups of CloudWatch that records were sent to.
    """
    groups = (
        f"CloudWatch's log group {name}: texts that were sent there last until its retention ends, or its "
        "streams are deleted"
        for name in logs
    )
    return (*(_copy(folder, url) for url in remotes), *groups, *_lines(root, documents, version))


def _copy(folder: str, url: str) -> str:
    return (
        f"the copy at {url}: `rag push {folder} {url} --prune` replaces it and deletes its old versions; "
        "local copies of it follow when they are next opened, folders that were pulled from it with `rag "
        "pull` and `rag prune`"
    )


def _lines(root: str, documents: Iterable[str], version: int) -> Iterator[str]:
    there = [path for name in documents if (path := source_file(root, name)) is not None]
    if there:
        more = f" and {len(there) - _MOST} more" if len(there) > _MOST else ""
        yield f"source files, which are still there: {', '.join(map(str, there[:_MOST]))}{more}"
    elif "://" in root:
        yield f"source files: {root}"
    yield (
        f"processes that opened the index before version {version}: they keep the old files, and may answer "
        "and record from them, until they close it or take the new version over, as `rag serve` does itself"
    )
    yield "backups, snapshots and freed blocks of disks: files are deleted and replaced, not overwritten"
    yield "persistence and backups of Redis and DynamoDB; conversations that an application keeps"
    yield "S3: files of batch jobs, uploads to a Knowledge Base; logs of Bedrock, CloudWatch, standard output"
    yield "outputs, reports and logs elsewhere; files of JSON lines among them can be named with --file"


def source_file(root: str, name: str) -> Path | None:
    """Return the file of a source, if it is on this machine.

    Parameters
    ----------
    root : str
        The folder, file or URL from which the index was built.
    name : str
    """
    if not root or "://" in root:
        return None
    paths = (Path(root) / name, Path(root))
    return next((path for path in paths if path.is_file() and path.name == Path(name).name), None)
