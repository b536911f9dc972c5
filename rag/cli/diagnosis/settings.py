"""``rag.toml``: each table's settings, and the prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rag.core.errors import ConfigError
from rag.core.findings import Finding, checked, ok

#: Stages that are made from their settings alone, without an index or files.
_MADE = ("loader", "chunker", "embedder", "trimmer", "generator")


def read(path: Path | None) -> tuple[dict[str, Any], list[Finding]]:
    """Return the settings, none where they are refused, and what the reading found."""
    from rag.config import settings as rag_toml

    name = str(path or "rag.toml")
    try:
        settings = rag_toml.read(path)
    except ConfigError as error:
        return {}, [Finding("rag.toml", "fail", str(error), f"correct {name}")]
    if path is None and not Path("rag.toml").exists():
        return {}, [ok("rag.toml", "none here: every stage has its default")]
    return settings, [ok("rag.toml", f"{name}: {', '.join(f'[{table}]' for table in settings) or 'empty'}")]


def findings(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the values of each stage's settings, and the age of the prices."""
    for kind in _MADE:
        if kind in settings:
            yield from checked(f"[{kind}]", lambda kind=kind: _made(kind, settings[kind]))  # type: ignore[misc]
    yield from checked("prices", lambda: _prices(settings.get("prices")))


def _made(kind: str, value: Any) -> Iterator[Finding]:
    from rag.config import stages
    from rag.config.loader import Loader

    use = value if isinstance(value, str) else value.get("use", "the default")
    if "application-inference-profile" in str(value) and "base_model" not in str(value):
        text = f"{use}: only AWS knows the model behind this profile"
        yield Finding(f"[{kind}]", "skip", text, "set base_model, or check it with --bedrock")
        return
    if kind == "generator":
        stages.generator(value)
    elif kind == "loader":
        loader = stages.stage(kind, value, path=".")
        if isinstance(loader, Loader) and not loader.limits.confined:
            text = "limits.confined is false, so parsers have your rights"
            yield Finding(f"[{kind}]", "warn", text, "build only files that you trust")
            return
    elif kind == "trimmer":
        stages.trimmer(value, None)
    else:
        stages.stage(kind, value)
    yield ok(f"[{kind}]", str(use))


def _prices(value: Any) -> Iterator[Finding]:
    from rag.usage.prices import DATE, PriceTable, age_days, stale

    own = len(PriceTable.from_settings(value).entries)
    more = f", and {own} of rag.toml" if own else ""
    if note := stale():
        yield Finding("prices", "warn", f"{note}{more}", "upgrade bedrock-rag, or enter prices in [prices]")
    else:
        yield ok("prices", f"of {DATE.isoformat()}, {age_days()} days old{more}")
