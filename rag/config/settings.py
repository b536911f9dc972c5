"""``rag.toml``: its tables, and the settings that belong to no stage.

A stage is given as an object, as a name, or as a mapping of ``use`` and its arguments::

    [loader]
    engine = {"*.docx" = "unstructured"}    # or "unstructured" for all; rag's own parsers read the rest

    [embedder]
    use = "static"            # a name below, "module:Class", or a string for init_embeddings

    [trimmer]
    budget = 6000             # without use: the default stage, with this argument
    calibration = "tokens.json"     # keeps what replies teach of the model's tokens

    [retriever]
    reranker = "bedrock"      # or "module:make", which returns a LangChain compressor; or with arguments

    [generator]
    use = "claude"            # a name below, "module:Class", or a string for init_chat_model
    model = "global.anthropic.claude-sonnet-5-5"
    fallback = ["global.anthropic.claude-haiku-5-5", "local"]   # asked in turn where it fails

    [cache]                   # of embeddings: one file for several indexes, if you wish
    path = "indexes/cache.sqlite"
    max_mb = 8000

    [ledger]                  # of what calls cost; by default INDEX/ledger.sqlite, without a limit
    path = "indexes/ledger.sqlite"
    warn_usd = [5, 10]
    stop_usd = 20
    per = "day"
    tag = "support-desk"
    on_budget = "alerts:send"

    [prices."my-model"]       # of a model that has no built-in price, per million tokens
    input = 0.5
    output = 2.0

    [batch]                   # of building at half price, with --batch
    s3 = "s3://bucket/prefix"
    role_arn = "arn:aws:iam::111122223333:role/rag-batch"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.config.registry import STAGES, check
from rag.config.settings_errors import Table
from rag.core.errors import ConfigError, near_miss
from rag.usage import ledger_settings
from rag.usage.prices import PriceTable

#: Settings of the embedding cache: its file (by default in the index's folder), and its largest size.
CACHE = {"path": None, "max_mb": 8000}
#: Tables of ``rag.toml`` that are no stages.
_TABLES = ("cache", "ledger", "prices", "batch")


def read(path: Path | None) -> dict[str, Any]:
    """Read ``rag.toml``; with no path the one in the working directory, if there is one.

    Raises
    ------
    ConfigError
        It is missing, not TOML, or names a stage, a stage's name or an argument that there is not.
    """
    if path is None:
        path = Path("rag.toml")
        if not path.exists():
            return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for name, value in settings.items():
        if name not in (*STAGES, *_TABLES):
            raise ConfigError(f"{path} has a table [{name}]: {near_miss(name, (*STAGES, *_TABLES))}")
        if not isinstance(value, dict | str):
            raise ConfigError(f"{path}: {name} must be a table or a name, not {value!r}")
        try:
            if name == "cache":
                cache(value)
            elif name == "ledger":
                ledger_settings.settings(value)
            elif name == "prices":
                PriceTable.from_settings(value)
            elif name == "batch":
                from rag.bedrock.storage import batch_jobs

                batch_jobs.settings({"s3": value} if isinstance(value, str) else value)
            else:
                check(name, value)
        except ConfigError as error:
            raise ConfigError(f"{path}, [{name}]: {error}") from None
    return {
        name: Table(value, f"{path}, [{name}]") if isinstance(value, dict) else value
        for name, value in settings.items()
    }


def cache(value: Any) -> tuple[Path | None, int]:
    """Return the embedding cache's file (None: the index's own) and its largest size in bytes.

    Parameters
    ----------
    value : str, Path, mapping or None
        A path, or settings as in `CACHE`.

    Raises
    ------
    ConfigError
        There is no such setting, or it has another type.
    """
    given = dict(value) if isinstance(value, Mapping) else {} if value is None else {"path": value}
    for name in given:
        if name not in CACHE:
            raise ConfigError(f"the cache has no setting {name!r}: {near_miss(name, CACHE)}")
    path, most = given.get("path"), given.get("max_mb", CACHE["max_mb"])
    if path is not None and not isinstance(path, str | Path):
        raise ConfigError(f"the cache's path is a string, not {path!r}")
    if isinstance(most, bool) or not isinstance(most, int | float) or most <= 0:
        raise ConfigError(f"the cache's max_mb is a number above 0, not {most!r}")
    return None if path is None else Path(path), int(most * 1e6)
