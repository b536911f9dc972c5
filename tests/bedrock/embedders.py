"""Texts, and a fresh emulator for each test of the embedders."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from rag.bedrock.embeddings.cohere import CohereEmbeddings
from rag.bedrock.embeddings.nova import NovaEmbeddings
from rag.bedrock.embeddings.titan import TitanEmbeddings
from rag.emulator import Behaviour, Emulator

TEXTS = [f"text number {n} on leave, backups and the on-call rota" for n in range(240)]
KINDS = [TitanEmbeddings, CohereEmbeddings, NovaEmbeddings]


@contextlib.contextmanager
def running(monkeypatch: pytest.MonkeyPatch, **behaviour: Any) -> Iterator[Emulator]:
    with Emulator(Behaviour(**behaviour)) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    return [json.loads(request.params["body"]) for request in emulator.requests]
