"""The files of a sweep: ``sweep.md``, ``sweep.json`` and ``sweep.png``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rag.core.errors import MissingExtraError


def write(
    folder: Path,
    body: str,
    values: Mapping[str, Any],
    notes: Sequence[str],
    draw: Callable[[Path], object] | None,
) -> tuple[str, ...]:
    """Write a sweep's files; return its notes, with one if the picture could not be drawn.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    body : str
        Tables, as Markdown.
    values : mapping
        For the JSON file, which gets the notes, too.
    notes : sequence of str
    draw : callable or None
        Draws the picture at a path; None where there is nothing to draw.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture, image = folder / "sweep.png", ""
    picture.unlink(missing_ok=True)
    if draw is not None:
        try:
            draw(picture)
            image = f"\n![The settings in a picture]({picture.name})\n"
        except MissingExtraError as error:  # a picture must not cost the results
            notes = (*notes, f"{picture.name} was not drawn: {error}")
    text = json.dumps({**values, "notes": list(notes)}, ensure_ascii=False, indent=1, default=str)
    (folder / "sweep.json").write_text(text + "\n", encoding="utf-8")
    shown = "".join(f"\n- {note}" for note in notes)
    (folder / "sweep.md").write_text(f"# Sweep\n\n{body}{shown}\n{image}", encoding="utf-8")
    return tuple(notes)
