"""The files from which the images of a function and of a service are made."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.config import deploy, serving
from rag.core.errors import ConfigError, UsageError, cannot_write
from rag.deployment.template import template
from rag.serving.authenticators import key_store, needs_callers

_FOLDER = Path(__file__).with_name("image")
#: The folder of what the images hold besides packages.
APP = "app"
_IGNORED = "*\n!app\n!requirements.txt\n!trim.sh\n!*.whl\n"
#: Names of embedders that need ONNX Runtime.
_LOCAL = ("local", "")


def written(
    folder: Path, settings: Mapping[str, Any], source: Path, version: str, *, force: bool = False
) -> list[Path]:
    """Write the files of the images into a folder, and return them.

    Parameters
    ----------
    folder : Path
    settings : mapping
        As `rag.config.settings.read` returns them, with ``deploy``.
    source : Path
        The ``rag.toml`` that they come from.
    version : str
        Of the package in the images.
    force : bool
        Replace files that are there and differ.

    Raises
    ------
    ConfigError
        ``[deploy]`` is missing, or names no index.
    UsageError
        Nobody may call, or a file is there already and differs.
    """
    files = _contents(settings, source, version)
    there = [name for name, data in files.items() if _differs(folder / name, data)]
    if there and not force:
        raise UsageError(f"{folder / there[0]} is there and differs: --force replaces it")
    try:
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return [folder / name for name in files]


def _contents(settings: Mapping[str, Any], source: Path, version: str) -> dict[str, bytes]:
    if "deploy" not in settings:
        raise ConfigError(f'{source} has no table [deploy]: add one with index = "s3://BUCKET/PREFIX"')
    made = deploy.settings(settings["deploy"])
    if not made.index:
        raise ConfigError(f'{source}, [deploy] names no index: add index = "s3://BUCKET/PREFIX"')
    table = settings.get("serving", {})
    auth = serving.settings(table).auth
    keys = key_store(auth, Path(made.index)) if auth.path or not made.index.startswith("s3://") else None
    guarded = "auth" in table if keys is None else needs_callers(table, keys)
    if not guarded and not made.open:
        raise UsageError(
            "nobody could call: set [serving.auth] with the path of a file of keys (`rag keys add`), or "
            "tokens; or open = true in [deploy]"
        )
    requirements = (_FOLDER / "requirements.txt").read_text(encoding="utf-8")
    if needs_onnxruntime(settings):
        requirements += (_FOLDER / "requirements-local.txt").read_text(encoding="utf-8")
    files = {
        "template.yaml": template(settings, made).encode(),
        "Dockerfile": (_FOLDER / "Dockerfile").read_bytes(),
        "trim.sh": (_FOLDER / "trim.sh").read_bytes(),
        "requirements.txt": f"{requirements}bedrock-rag=={version}\n".encode(),
        ".dockerignore": _IGNORED.encode(),
        f"{APP}/rag.toml": source.read_bytes(),
    }
    if auth.path and auth.use == "keys":
        if Path(auth.path).is_absolute():
            raise ConfigError("[serving.auth] path is absolute: name the file of the keys beside rag.toml")
        assert keys is not None
        if not keys.path.exists():
            raise UsageError(f"{keys.path} is missing: `rag keys add` makes it")
        files[f"{APP}/{auth.path}"] = _snapshot(keys.path)
    return files


def needs_onnxruntime(settings: Mapping[str, Any]) -> bool:
    """Tell whether the embedder is the local model; one that is not named is the index's, so it may be."""
    value = settings.get("embedder")
    use = value.get("use", "") if isinstance(value, Mapping) else value or ""
    return use in _LOCAL


def _snapshot(path: Path) -> bytes:
    """Return a SQLite file as it is now, with what its WAL file holds."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        copy = sqlite3.connect(":memory:")
        with contextlib.closing(copy):
            file.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            return bytes(copy.serialize())


def _differs(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() != data
    except OSError:
        return os.path.lexists(path)
