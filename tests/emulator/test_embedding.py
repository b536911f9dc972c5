"""InvokeModel of embedding models, through unmodified boto3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from rag.bedrock.runtime.faults import code_of
from rag.emulator import Emulator
from rag.emulator.embedding import vectors
from rag.usage.tokens import estimate_tokens
from tests.emulator.conftest import CLAUDE, COHERE, LEAVE, NOVA, TITAN, invoke, user


@pytest.mark.parametrize("dimensions", [256, 512, 1024])
def test_titan_vectors_are_unit_rows_that_keep_similarity(client: Any, dimensions: int) -> None:
    texts = [LEAVE, "Employees in Europe have 28 days of holiday.", "The database is backed up at night."]
    replies = [invoke(client, TITAN, inputText=text, dimensions=dimensions) for text in texts]
    rows = np.array([reply["embedding"] for reply in replies])
    assert rows.shape == (3, dimensions)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
    assert replies[0]["embeddingsByType"]["float"] == replies[0]["embedding"]
    assert replies[0]["inputTextTokenCount"] == estimate_tokens(
        LEAVE, "anthropic.claude-3-haiku-20240307-v1:0"
    )


def test_cosines_do_not_depend_on_dimensions() -> None:
    texts = [LEAVE, "Backups run at night.", "漢字 zzzz"]
    known = vectors(texts, 256)
    for dimensions in (384, 512, 1024, 1536, 3072):
        rows = vectors(texts, dimensions)
        assert rows @ rows.T == pytest.approx(known @ known.T, abs=1e-5)


def test_titan_binary_and_unnormalised(client: Any) -> None:
    reply = invoke(
        client, TITAN, inputText=LEAVE, dimensions=256, embeddingTypes=["binary", "float"], normalize=False
    )
    row, bits = np.array(reply["embedding"]), np.array(reply["embeddingsByType"]["binary"])
    assert np.linalg.norm(row) == pytest.approx(10.0, abs=1e-5)
    assert (bits == (row > 0)).all()


@pytest.mark.parametrize(("body", "expected"), [
    ({}, r"required key \[inputText\] not found"),
    ({"inputText": "a", "dimension": 256}, r"extraneous key \[dimension\] is not permitted"),
    ({"inputText": "a", "dimensions": 300}, "300 is not a valid enum value"),
    ({"inputText": "a", "dimensions": True}, "expected type: int"),
    ({"inputText": ""}, "expected minLength: 1, actual: 0"),
    ({"inputText": 7}, "expected type: str"),
    ({"inputText": "a", "embeddingTypes": ["int8"]}, "float or binary"),
    ({"inputText": "a " * 26_000}, "Max input characters: 50000"),
    ({"inputText": "zq " * 9_000}, "Max input tokens: 8192"),
])  # fmt: skip
def test_titan_limits(client: Any, emulator: Emulator, body: Any, expected: str) -> None:
    with pytest.raises(ClientError, match=expected) as refused:
        invoke(client, TITAN, **body)
    assert code_of(refused.value) == "ValidationException"
    assert (emulator.counts["refused"], len(emulator.problems)) == (1, 1)


def test_cohere_returns_lists_or_types(client: Any) -> None:
    texts = [LEAVE, "Backups run at night."]
    plain = invoke(client, COHERE, texts=texts, input_type="search_document")
    assert (plain["response_type"], plain["texts"]) == ("embeddings_floats", texts)
    assert np.array(plain["embeddings"]).shape == (2, 1536)
    typed = invoke(
        client, COHERE, texts=texts, input_type="search_query", embedding_types=["float", "binary", "int8"],
        output_dimension=256, truncate="RIGHT",
    )  # fmt: skip
    assert typed["response_type"] == "embeddings_by_type"
    sizes = {kind: np.array(rows).shape for kind, rows in typed["embeddings"].items()}
    assert sizes == {"float": (2, 256), "binary": (2, 32), "int8": (2, 256)}
    third = invoke(
        client, "cohere.embed-english-v3", texts=texts, input_type="search_document", truncate="END"
    )
    assert np.array(third["embeddings"]).shape == (2, 1024)


@pytest.mark.parametrize(("body", "expected"), [
    ({"texts": ["a"]}, r"required key \[input_type\]"),
    ({"texts": ["a"] * 97, "input_type": "search_document"}, "found 97"),
    ({"texts": ["a"], "input_type": "document"}, "document is not a valid enum value"),
    ({"texts": ["a"], "input_type": "search_query", "truncate": "END"}, "END is not a valid enum value"),
    ({"texts": ["a"], "input_type": "search_query", "output_dimension": 100}, "100 is not a valid"),
])  # fmt: skip
def test_cohere_limits(client: Any, body: Any, expected: str) -> None:
    with pytest.raises(ClientError, match=expected):
        invoke(client, COHERE, **body)


def nova(**more: Any) -> dict[str, Any]:
    text = {"truncationMode": "NONE", "value": LEAVE}
    return {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", "text": text, **more},
    }


def test_nova_embeds_one_text(client: Any) -> None:
    embeddings = invoke(client, NOVA, **nova(embeddingDimension=384))["embeddings"]
    assert [(one["embeddingType"], len(one["embedding"])) for one in embeddings] == [("TEXT", 384)]
    for wrong, value in (({"embeddingDimension": 512}, "512"), ({"embeddingPurpose": "INDEX"}, "INDEX")):
        with pytest.raises(ClientError, match=f"{value} is not a valid enum value"):
            invoke(client, NOVA, **nova(**wrong))


def test_chat_and_embedding_models_are_not_interchangeable(client: Any) -> None:
    with pytest.raises(ClientError, match="use Converse"):
        invoke(client, CLAUDE, inputText="a")
    with pytest.raises(ClientError, match="doesn't support the Converse API"):
        client.converse(modelId=TITAN, messages=user("a"))
