"""``rag.toml``: its tables, and the settings that belong to no stage.

A stage is given as an object, as a name, or as a mapping of ``use`` and its arguments::

    [loader]
    engine = {"*.docx" = "unstructured"}    # or "unstructured" for all; rag's own parsers read the rest

    [embedder]
    use = "static"            # a name of rag.config.registry, "module:Class", or for init_embeddings

    [trimmer]
    budget = 6000             # without use: the default stage, with this argument
    calibration = "tokens.json"     # keeps what replies teach about the model's tokens

    [retriever]
    reranker = "bedrock"      # or "module:make", which returns a LangChain compressor; or with arguments

    [prompt]
    variants = {"support@1" = 0.5, "support@2" = 0.5}   # or use = "support@2", of prompts/support@2.md
    variables = {company = "Kelvara"}

    [generator]
    use = "claude"            # a name of rag.config.registry, "module:Class", or for init_chat_model
    model = "global.anthropic.claude-sonnet-5-5"
    fallback = ["global.anthropic.claude-haiku-5-5", "local"]   # tried in turn where it fails
    # or use = "router", with [generator.tiers] and [[generator.rules]]: see rag/generation/README.md

    [cache]                   # of embeddings: several indexes may share one file
    path = "indexes/cache.sqlite"
    max_mb = 8000

    [cache.responses]         # of answers, for equal questions; without this table there is none
    use = "redis"             # "sqlite" (the default), "dynamodb", or "module:Class"
    url = "redis://cache.internal:6379/0"
    ttl_hours = 24
    tenant = "support"

    [review]                  # which answers go to a person; without this table none do
    unsupported = true
    sample = 0.05

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

    [baseline]                # another system, for `rag eval --answers --baseline`; or "module:Class"
    use = "knowledge-base"
    knowledge_base_id = "ABCDEFGHIJ"
    prefix = "s3://bucket/prefix/"

    [batch]                   # building and answering at half price, with --batch
    s3 = "s3://bucket/prefix"
    role_arn = "arn:aws:iam::111122223333:role/rag-batch"

    [gate]                    # what a new version must reach before readers see it, with --gate
    golden = "golden.jsonl"
    min = {"recall@4000" = 0.9}

    [receipts]                # what each answer was made from, to make it again
    days = 90

    [telemetry]               # a record of each question
    path = "calls.jsonl"

    [remote]                  # indexes on S3 (s3://bucket/prefix in place of a folder)
    cache = "/var/cache/rag"  # where their local copies stand, and the most they may take
    cache_mb = 20000

    [serving.auth]            # who may call `rag serve` and `rag mcp`; by default who has a key
    use = "tokens"
    issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
    audience = "1example23456789"
    where = "department in {cognito:groups}"

    [deploy]                  # an index on AWS Lambda and in containers
    index = "s3://my-bucket/indexes/handbook"
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from rag.config import deploy, gate, serving
from rag.config.registry import STAGES, check, factory_of, refuse_unknown
from rag.core.errors import ConfigError, near_miss
from rag.embedding import cache_settings
from rag.index.remote import settings as remote
from rag.receipts import settings as receipts
from rag.response_cache import settings as responses
from rag.review import settings as review
from rag.telemetry import settings as telemetry
from rag.usage import ledger_settings
from rag.usage.prices import PriceTable
from rag.usage.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


def _check_batch(value: Any) -> object:
    from rag.bedrock.storage import batch_settings  # its package is imported only where it is used

    return batch_settings.settings(value)


def store_of_responses(value: Any) -> tuple[Any, responses.ResponseSettings, dict[str, Any], Any]:
    """Return what `rag.response_cache.settings.split` does, and what makes the store; None for a store.

    Raises
    ------
    ConfigError
        A name is unknown, or a value refused.
    """
    use, kept, arguments = responses.split(value)
    return use, kept, arguments, _maker(responses.KIND, use, kept, arguments)


def store_of_reviews(value: Any) -> tuple[Any, review.ReviewSettings, dict[str, Any], Any]:
    """Return what `rag.review.settings.split` does, and what makes the store; None for a store.

    Raises
    ------
    ConfigError
        A name is unknown, or a value refused.
    """
    use, kept, arguments = review.split(value)
    return use, kept, arguments, _maker(review.KIND, use, kept, arguments)


def _maker(kind: str, use: Any, kept: Settings, arguments: Mapping[str, Any]) -> Any:
    """Return what makes a store of some name, its arguments checked; None for a store."""
    if not isinstance(use, str):
        return None
    factory = factory_of(kind, use)
    assert factory is not None  # but for a stage that LangChain finds
    refuse_unknown(factory, arguments, kind, use, type(kept).model_fields)
    return factory


def _check_review(value: Any) -> object:
    use, kept, arguments, _ = store_of_reviews(value)
    if isinstance(kept.embedder, str | Mapping):
        check("embedder", kept.embedder)
    return use, arguments


def baseline_parts(value: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return what makes the system of ``[baseline]``, and its arguments.

    Raises
    ------
    ConfigError
        It names none, or a name is unknown.
    """
    arguments = {"use": value} if isinstance(value, str) else dict(value)
    use = arguments.pop("use", None)
    factory = factory_of("baseline", use) if isinstance(use, str) else None
    if factory is None:
        raise ConfigError('a baseline needs use = "knowledge-base", or "module:Class"')
    refuse_unknown(factory, arguments, "baseline", str(use))
    return factory, arguments


def _check_cache(value: Any) -> object:
    table = cache_settings.settings(value)
    if table.responses is not None:
        store_of_responses(table.responses)
    return table


#: What checks each table of ``rag.toml``; it raises `ConfigError`.
TABLES: Mapping[str, Callable[[Any], object]] = {
    **{kind: functools.partial(check, kind) for kind in STAGES},
    "cache": _check_cache,
    "review": _check_review,
    "ledger": ledger_settings.settings,
    "prices": PriceTable.from_settings,
    "batch": _check_batch,
    "gate": gate.settings,
    "receipts": receipts.settings,
    "remote": remote.settings,
    "serving": serving.settings,
    "deploy": deploy.settings,
    "telemetry": telemetry.settings,
    "baseline": baseline_parts,
}


class Table(dict[str, Any]):
    """A table of ``rag.toml``; `where` names the file and the table, for errors found later."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        super().__init__(values)
        self.where = where


def read(path: Path | None) -> dict[str, Any]:
    """Read ``rag.toml``; with no path the one in the working directory, if there is one.

    Raises
    ------
    ConfigError
        The file is missing or not TOML, or names a table, a stage or an argument that does not exist.
    """
    if path is None:
        path = Path("rag.toml")
        if not path.exists():
            return {}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return parsed(text, str(path))


def parsed(text: str, name: str) -> dict[str, Any]:
    """Return the settings of a text in the form of ``rag.toml``.

    Parameters
    ----------
    text : str
    name : str
        Its own, for errors.

    Raises
    ------
    ConfigError
        It is not TOML, or names a table, a stage or an argument that does not exist.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from None
    for table, value in settings.items():
        if table not in TABLES:
            raise ConfigError(f"{name} has a table [{table}]: {near_miss(table, TABLES)}")
        if not isinstance(value, dict | str):
            raise ConfigError(f"{name}: {table} must be a table or a name, not {value!r}")
        try:
            TABLES[table](value)
        except ConfigError as error:
            raise ConfigError(f"{name}, [{table}]: {error}") from None
    return {
        table: Table(value, f"{name}, [{table}]") if isinstance(value, dict) else value
        for table, value in settings.items()
    }


def located(make: Callable[P, T]) -> Callable[P, T]:
    """Let errors of a function that makes a stage name the table of ``rag.toml`` it was passed.

    Examples
    --------
    >>> @located
    ... def size(table):
    ...     raise ConfigError("the size is missing")
    >>> size(Table({}, "rag.toml, [loader]"))
    Traceback (most recent call last):
        ...
    rag.core.errors.ConfigError: rag.toml, [loader]: the size is missing
    """

    @functools.wraps(make)
    def wrapper(*args: P.args, **named: P.kwargs) -> T:
        try:
            return make(*args, **named)
        except ConfigError as error:
            where = next((value.where for value in args if isinstance(value, Table)), None)
            if where is None:
                raise
            raise ConfigError(f"{where}: {error}") from error

    return wrapper
