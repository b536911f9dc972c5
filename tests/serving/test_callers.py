"""A caller's filter is in every query, whatever the request asks."""

from __future__ import annotations

import pytest

import rag
from rag.core.errors import WhereError
from rag.serving.callers import Caller


def test_a_request_only_narrows_what_a_caller_sees() -> None:
    own = rag.field("department") == "legal"
    assert Caller("ana", where=own).narrowed() == own
    assert str(Caller("ana", where=own).narrowed("year >= 2023")) == str(own & (rag.field("year") >= 2023))
    assert str(Caller("ana").narrowed("year >= 2023")) == str(rag.field("year") >= 2023)
    assert Caller("ana").narrowed() is None
    with pytest.raises(WhereError):
        Caller("ana", where=own).narrowed("year >=")
