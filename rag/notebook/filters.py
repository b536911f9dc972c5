"""A filter: its string form, what it tests, and its other notations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rag.core.errors import RagError
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.index.filters.where import Where

    pass

#: Most characters of a notation, and fields, that are shown.
_CHARS, _FIELDS = 4000, 50


class FilterDisplay(Display):
    """A filter; its text is the Python form, which can be evaluated, so it is never cut."""

    value: Where

    def html(self) -> str:
        """Return the filter as a card."""
        where = self.value
        notations = [
            ("Python", repr(where)),
            ("Knowledge Bases", _json(where.to_bedrock)),
            ("LangChain", _json(where.to_langchain)),
        ]
        rows = [(name, f"<code>{parts.inert(form, _CHARS)}</code>") for name, form in notations]
        names = sorted(where.fields())
        fields = "".join(f'<span class="chip">{parts.inert(name, 60)}</span>' for name in names[:_FIELDS])
        body = (
            f"<p><code>{parts.inert(where.to_string(), _CHARS)}</code></p>"
            + parts.facts([("fields", fields)])
            + parts.more(len(names) - _FIELDS, "field", ".fields()")
            + parts.fold("in other notations", parts.facts(rows))
        )
        return parts.card("Filter", "", body)

    def text(self) -> str:
        """Return the Python form."""
        return repr(self.value)


def _json(notation: Callable[[], dict[str, Any]]) -> str:
    try:
        return lines.line(json.dumps(notation(), ensure_ascii=False, default=str), _CHARS)
    except RagError as error:
        return f"not possible: {error}"
