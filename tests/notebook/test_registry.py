"""Each class of the registry exists, shows itself, and has a display."""

from __future__ import annotations

from importlib import import_module

import pytest

from rag.core.displayable import Displayable
from rag.notebook.display import Display
from rag.notebook.registry import DISPLAYS, display_of


@pytest.mark.parametrize(("name", "display"), DISPLAYS.items())
def test_a_class_and_its_display_exist(name: str, display: str) -> None:
    module, _, kind = name.rpartition(".")
    shown = getattr(import_module(module), kind)
    assert issubclass(shown, Displayable)
    room, _, drawer = display.partition(".")
    assert issubclass(getattr(import_module(f"rag.notebook.{room}"), drawer), Display)


def test_what_has_no_display_is_named() -> None:
    with pytest.raises(LookupError, match="no display is for int"):
        display_of(3)
