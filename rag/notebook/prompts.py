"""A prompt: its blocks in the order of sending, their tokens, and where a cache point can stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.texts import passage
from rag.usage.tokens import estimate_tokens

if TYPE_CHECKING:
    from rag.generation.prompt import Prompt

    pass

#: Fewest tokens before a cache point, of the models that need the fewest (`rag.bedrock.chat.prompt_cache`).
_CACHED_TOKENS = 1024
_CHARS = 8000


class PromptDisplay(Display):
    """A prompt's texts, as far as they stand before a question is asked."""

    value: Prompt

    def html(self) -> str:
        """Return the blocks as a table, and their texts, folded."""
        prompt = self.value
        rows = [(name, f"{tokens:,}" if tokens else "", point) for name, tokens, point in self._blocks()]
        variables = [
            (name, each.type, str(prompt.values.get(name, "must be given")), each.about)
            for name, each in prompt.variables.items()
        ]
        body = (
            parts.facts([(name, parts.inert(value)) for name, value in self._facts()])
            + parts.grid("blocks, in the order of sending", ("block", "tokens", "cache point"), rows)
            + (parts.grid("variables", ("name", "type", "value", "about"), variables) if variables else "")
            + parts.fold("the system text", passage(prompt.shown(), most=_CHARS, how="prompt.shown()"))
        )
        return parts.card("Prompt", prompt.name, body)

    def text(self) -> str:
        """Return version and form, and a line for each block."""
        prompt = self.value
        out = [*lines.wrapped(f"Prompt {prompt.name}", most=3), *lines.labelled(self._facts())]
        rows = [(name, f"{tokens:,}" if tokens else "", point) for name, tokens, point in self._blocks()]
        out += lines.grid(("block", "tokens", "cache point"), rows)
        return "\n".join([*out, *lines.wrapped(prompt.shown(), "    ", 4)])

    def _facts(self) -> list[tuple[str, str]]:
        prompt = self.value
        asks = ", ".join(f"{name} {value}" for name, value in prompt.parameters.items())
        return [("version", prompt.version), ("passages as", prompt.form), ("asks for", asks)]

    def _blocks(self) -> list[tuple[str, int, str]]:
        """Return each block, its tokens (0: they depend on the question) and where a cache point stands."""
        prompt = self.value
        text = prompt.shown()
        tokens = estimate_tokens(text)
        file = prompt.file
        heads = [] if file is None else [(title, estimate_tokens(body)) for title, _, body in file.sections()]
        point = (
            "behind it, if the model has prompt_cache" if tokens >= _CACHED_TOKENS
            else f"none: {counted(_CACHED_TOKENS - tokens, 'token')} too few for one"
        )  # fmt: skip
        return [
            ("system text", tokens, point),
            *((f"– {title.capitalize()}", count, "") for title, count in heads),
            ("passages", 0, "none: they change with each question"),
            ("question", 0, "none: it comes last"),
        ]
