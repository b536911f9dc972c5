"""Pushes and pulls of an index, by the URL of an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag.config.open import object_store
from rag.core.files import local_folder
from rag.core.progress import Progress
from rag.index.remote.pull import pull as pull_into
from rag.index.remote.push import push as push_to
from rag.index.remote.transfer import Transfer


def push(
    index: str | Path,
    url: str,
    *,
    version: int | None = None,
    force: bool = False,
    check: bool = False,
    keep: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    remote: Any = None,
) -> Transfer:
    """Push an index from its folder to S3, moving only the files that are missing there.

    Parameters
    ----------
    index : str or Path
    url : str
        ``s3://bucket/prefix``.
    version : int, optional
        By default the current one. An older one than is current there is kept beside it.
    force : bool
        Replace what another writer pushed.
    check : bool
        Read what is there already, and send again what is damaged.
    keep : int, optional
        Delete all but so many of the newest versions there, and every object that belongs to none.
    dry_run : bool
        Move and delete nothing.
    progress : Progress, optional
        Told how many bytes are moved: `rag.progress_bar`, or any callable (`rag.core.progress`).
    remote : mapping, optional
        As ``[remote]`` in rag.toml.

    Returns
    -------
    Transfer

    Raises
    ------
    StoreConflictError
        Another writer pushed a version that this folder does not have; it says which, and when.
    StoreMissingError, StoreCorruptError
        There is no such index or version, or one of its files was altered.
    RemoteError
        S3 cannot be reached, or refuses.

    Examples
    --------
    >>> print(rag.push("indexes/handbook", "s3://bucket/handbook"))                  # doctest: +SKIP
    s3://bucket/handbook/: version 3: 10 files, 4.8 MB moved; 0 files, 0 bytes there already (1.2 s)
    """
    return push_to(
        local_folder(index), object_store(url, remote), version=version, force=force, check=check, keep=keep,
        dry_run=dry_run, progress=progress,
    )  # fmt: skip


def pull(
    url: str,
    index: str | Path,
    *,
    version: int | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    timeout_s: float = 0.0,
    remote: Any = None,
) -> Transfer:
    """Pull an index from S3 into a folder, moving only the files that are missing or damaged there.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``.
    index : str or Path
        A new folder, or one that was pulled from there or pushed to there before.
    version : int, optional
        By default the current one. An older one than the folder's is kept beside it.
    force : bool
        Drop the folder's versions that S3 does not have, if they are in the way.
    dry_run : bool
        Move nothing.
    progress : Progress, optional
        As for `push`.
    timeout_s : float
        How long to wait for another process that writes to the folder.
    remote : mapping, optional
        As ``[remote]`` in rag.toml.

    Returns
    -------
    Transfer

    Raises
    ------
    StoreConflictError
        The folder has a version that S3 does not have, and that would be lost.
    StoreMissingError, StoreCorruptError
        There is no such index or version, or it is damaged.
    RemoteError
        S3 cannot be reached, or refuses.

    Examples
    --------
    >>> rag.pull("s3://bucket/handbook", "indexes/handbook").version                 # doctest: +SKIP
    3
    """
    return pull_into(
        object_store(url, remote), local_folder(index), version=version, force=force, dry_run=dry_run,
        progress=progress, timeout_s=timeout_s,
    )  # fmt: skip
