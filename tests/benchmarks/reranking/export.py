"""Write the trained reranker as an ONNX graph with eight-bit weights.

    python -m tests.benchmarks.reranking.export TRAINED.safetensors OUT.onnx

The graph gives each token of `sequences` two numbers, of which `reader` makes a passage's score.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rag.embedding.models.export_encoder import WIDTH, encode, model
from rag.embedding.models.export_graph import Floats, Graph, Limits
from rag.embedding.models.export_models import calibrate, calibration_ids, float_session
from rag.embedding.wordpiece import MODELS


def build(weights: dict[str, Floats], limits: dict[str, Limits] | None = None) -> Any:
    """Write the reranker as an ONNX graph; without `limits` in float32.

    Inputs ``input_ids``, ``attention_mask`` and ``token_type_ids``, int64, and ``question``, float32, the
    weights of the question's tokens, whose sum is one; all of shape (batch, sequence). Outputs ``likeness``
    and ``evidence``, of the same shape: a passage's score is the mean of the first and the highest of the
    second over its tokens.
    """
    from onnx import TensorProto, helper

    graph = Graph()
    states, norms = encode(graph, weights, limits, "token_type_ids")
    one = graph.constant("int_1", np.array([1], np.int64))
    two = graph.constant("int_2", np.array([2], np.int64))
    asked = graph.add("MatMul", graph.add("Unsqueeze", "question", one), states)
    direction = graph.add("Mul", asked, graph.constant("head.product", weights["head.product"]))
    direction = graph.add("Add", direction, graph.constant("head.mean", weights["head.mean"]))
    likeness = graph.add("MatMul", states, graph.add("Transpose", direction, perm=[0, 2, 1]))
    evidence = graph.add("MatMul", states, graph.constant("head.token", weights["head.token"][:, None]))
    for name, values in (("likeness", likeness), ("evidence", evidence)):
        graph.nodes.append(helper.make_node("Squeeze", [values, two], [name], name=name))
    value, shape = helper.make_tensor_value_info, ["batch", "sequence"]
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [value(name, TensorProto.INT64, shape) for name in names]
    inputs.append(value("question", TensorProto.FLOAT, shape))
    outputs = [value(name, TensorProto.FLOAT, shape) for name in ("likeness", "evidence")]
    outputs += [value(name, TensorProto.FLOAT, ["tokens", WIDTH]) for name in norms if limits is None]
    return model(graph, "MiniLM reranker", inputs, outputs, "reranking/export.py")


def examples(size: int) -> Iterator[dict[str, Any]]:
    """Yield sequences to calibrate with: those of the embedding model, their first tokens as a question."""
    for ids in calibration_ids(MODELS / "minilm" / "tokenizer.json", size):
        cut = 1 + min(12, (len(ids) - 2) // 3)
        tokens = np.array([[*ids[:cut], ids[-1], *ids[cut:]]], np.int64)
        types, question = np.zeros_like(tokens), np.zeros(tokens.shape, np.float32)
        types[0, cut + 1 :] = 1
        question[0, 1:cut] = 1 / max(cut - 1, 1)
        ones = np.ones_like(tokens)
        yield {"input_ids": tokens, "attention_mask": ones, "token_type_ids": types, "question": question}


def main(trained: Path, out: Path) -> None:
    import onnx
    from safetensors.numpy import load_file

    weights: dict[str, Floats] = load_file(trained)
    size = len(weights["embeddings.word_embeddings.weight"])
    made = build(weights, calibrate(float_session(build(weights)), examples(size)))
    onnx.checker.check_model(made)
    out.write_bytes(made.SerializeToString(deterministic=True))
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
