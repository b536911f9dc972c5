"""A pipeline: its stages as a diagram, each with its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.core.format import counted, dollars
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.places import value_text

if TYPE_CHECKING:
    from rag.pipeline import Pipeline

    pass

#: Fields of LangChain's components that say who watches a call; and parts of names that may hold a secret.
_NOT_SHOWN = frozenset((
    "name", "tags", "metadata", "callbacks", "cache", "verbose", "rate_limiter", "output_version", "profile",
    "disable_streaming", "custom_get_token_ids", "index",
))  # fmt: skip
_SECRET = ("key", "secret", "token_value", "password", "credential", "authorization", "header")
_SETTINGS = 12
_PLAIN = (str, int, float, bool)


class PipelineDisplay(Display):
    """The way of a question, stage by stage."""

    value: Pipeline

    def html(self) -> str:
        """Return the stages as boxes in their order."""
        boxes = "".join(
            f'<li class="stage"><small>{name}</small><div class="kind">{parts.inert(kind, 80)}</div>'
            f"{_settings_html(settings)}</li>"
            for name, kind, settings in self._stages()
        )
        body = f'<ol class="stages">{boxes}</ol>' + parts.facts(
            [(name, parts.inert(value)) for name, value in self._around()]
        )
        return parts.card("Pipeline", str(self.value.index.path), body)

    def text(self) -> str:
        """Return a line for each stage."""
        out = lines.wrapped(f"Pipeline over {self.value.index.path}", most=3)
        rows = [
            (name, f"{kind}: {_listed(settings)}" if settings else kind)
            for name, kind, settings in self._stages()
        ]
        return "\n".join([*out, *lines.labelled([*rows, *self._around()])])

    def _stages(self) -> list[tuple[str, str, list[tuple[str, str]]]]:
        pipe = self.value
        index, embedder = pipe.index, pipe.index.embedder
        prompt = str(getattr(pipe.prompt, "name", "") or type(pipe.prompt).__name__)
        version = str(getattr(pipe.prompt, "version", ""))
        return [
            ("index", f"version {index.version:,}", [("chunks", f"{len(index):,}")]),
            ("embedder", "none" if embedder is None else type(embedder).__name__, settings_of(embedder)),
            ("retriever", type(pipe.retriever).__name__, settings_of(pipe.retriever)),
            ("trimmer", type(pipe.trimmer).__name__, settings_of(pipe.trimmer)),
            ("prompt", prompt, [("version", version)] if version else []),
            ("generator", type(pipe.generator).__name__, settings_of(pipe.generator)),
            ("citations", "verified", [("on_unverified", str(pipe.on_unverified))]),
        ]

    def _around(self) -> list[tuple[str, str]]:
        pipe = self.value
        budget = pipe.meter.budget
        stop = getattr(budget, "stop_usd", None)
        extras = [
            name for name, part in (
                ("response cache", pipe.responses), ("review", pipe.reviews),
                ("receipts", pipe.around.receipts), ("telemetry", pipe.around.telemetry),
            ) if part is not None
        ]  # fmt: skip
        return [
            (
                "budget",
                f"stops at {dollars(stop)} a {budget.per}"
                if stop is not None
                else "none: calls are recorded",
            ),
            ("around it", ", ".join(extras)),
        ]


def settings_of(stage: Any) -> list[tuple[str, str]]:
    """Return a stage's settings, those that were chosen first; nothing that may be a secret.

    Parameters
    ----------
    stage
        Any object; its public attributes that are plain values count.
    """
    fields = getattr(type(stage), "model_fields", {})
    values = vars(stage) if hasattr(stage, "__dict__") else {}
    out = []
    for name, value in values.items():
        secret = any(part in name.lower() for part in _SECRET)
        if name.startswith("_") or name in _NOT_SHOWN or secret or not isinstance(value, _PLAIN):
            continue
        shown = f"{value:,}" if type(value) is int else value_text(value)
        out.append((name, shown, name in fields and value == fields[name].default))
    # Those that were chosen come first.
    out.sort(key=lambda item: item[2])
    kept = [(name, value) for name, value, _ in out[:_SETTINGS]]
    return [*kept, *([("…", counted(len(out) - _SETTINGS, "more setting"))] if len(out) > _SETTINGS else [])]


def _settings_html(settings: list[tuple[str, str]]) -> str:
    items = (f"<li>{parts.inert(name, 40)} {parts.inert(value, 60)}</li>" for name, value in settings)
    return f"<ul>{''.join(items)}</ul>" if settings else ""


def _listed(settings: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings)
