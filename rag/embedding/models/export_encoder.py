"""Write MiniLM as an ONNX graph, in float32 or with eight-bit weights (see `export_graph`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rag.embedding.models.export_graph import (
    EPSILON,
    MICROSOFT,
    Floats,
    Graph,
    Limits,
    float_product,
    normed_product,
    quantise_rows,
    rowwise_product,
)

LAYERS = 6
HEADS = 12
WIDTH = 384
OPSET = 18
IR_VERSION = 9

#: Added to the output of GELU (least value: -0.17) to make it positive; the bias takes it back.
GELU_SHIFT = 0.17


def encode(
    graph: Graph, weights: dict[str, Floats], limits: dict[str, Limits] | None, type_ids: str = ""
) -> tuple[str, list[str]]:
    """Add the embeddings and all layers of the weights.

    Parameters
    ----------
    graph : Graph
        What to add to; its inputs are ``input_ids`` and ``attention_mask``.
    weights : dict
        Tensors by the names they have in ``model.safetensors``.
    limits : dict or None
        As for `build_graph`.
    type_ids : str
        Name of an input with each token's type; without one, every token has type 0.

    Returns
    -------
    states : str
        Name of the last layer's output, of shape (batch, sequence, 384).
    norms : list of str
        Names of the layer normalisations.
    """
    from onnx import TensorProto, helper

    norms: list[str] = []

    def norm(rows: str, name: str) -> str:
        """Add a layer normalisation and return its output, which has its name."""
        inputs = [
            rows,
            graph.constant(f"{name}.weight", weights[f"{name}.weight"]),
            graph.constant(f"{name}.bias", weights[f"{name}.bias"]),
        ]
        graph.nodes.append(
            helper.make_node("LayerNormalization", inputs, [name], name=name, epsilon=EPSILON, axis=-1)
        )
        norms.append(name)
        return name

    def after_norm(name: str, summed: str, source: str, weight: Floats, bias: Floats) -> str:
        """Add the product of the normalisation `source` of `summed`."""
        if limits is None:
            return float_product(graph, name, source, weight, bias)
        own = weights[f"{source}.weight"], weights[f"{source}.bias"]
        return normed_product(graph, name, summed, own, weight, bias, limits[source])

    def elsewhere(name: str, rows: str, shift: float = 0.0) -> str:
        """Add the product of anything else."""
        weight, bias = weights[f"{name}.weight"].T, weights[f"{name}.bias"]
        if limits is None:
            return float_product(graph, name, rows, weight, bias)
        return rowwise_product(graph, name, rows, weight, bias, shift)

    words = weights["embeddings.word_embeddings.weight"]
    positions, types = (
        weights[f"embeddings.{name}_embeddings.weight"] for name in ("position", "token_type")
    )
    if not type_ids:  # every token has type 0, so that its vector can be part of the positions
        positions = positions + types[0]
    if limits is None:
        embedded = graph.add("Gather", graph.constant("words", words), "input_ids")
    else:
        word_rows, word_scales = quantise_rows(words)
        gathered = graph.add("Gather", graph.constant("words", word_rows), "input_ids")
        scale = graph.add("Gather", graph.constant("word_scales", word_scales[:, None]), "input_ids")
        embedded = graph.add("Mul", graph.add("Cast", gathered, to=TensorProto.FLOAT), scale)
    shape = graph.add("Shape", "input_ids")
    numbers = [graph.constant(f"int_{i}", np.array([i], np.int64)) for i in range(3)]
    length = graph.add("Slice", shape, numbers[1], numbers[2])
    position = graph.add("Slice", graph.constant("positions", positions), numbers[0], length)
    if type_ids:
        embedded = graph.add("Add", embedded, graph.add("Gather", graph.constant("types", types), type_ids))
    flat = graph.constant("flat", np.array([-1, WIDTH], np.int64))
    summed = graph.add("Reshape", graph.add("Add", embedded, position), flat)
    hidden = norm(summed, "embeddings.LayerNorm")

    wide = graph.constant("int_qkv", np.array([3 * WIDTH], np.int64))
    qkv_shape = graph.add("Concat", shape, wide, axis=0)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.INT32)
    layers = sum(name.endswith("attention.self.query.weight") for name in weights)
    for layer in range(layers):
        prefix = f"encoder.layer.{layer}"
        own = f"{prefix}.attention.self"
        parts = ("query", "key", "value")
        weight = np.concatenate([weights[f"{own}.{part}.weight"] for part in parts]).T
        bias = np.concatenate([weights[f"{own}.{part}.bias"] for part in parts])
        qkv = after_norm(f"{own}.qkv", summed, hidden, weight, bias)
        qkv = graph.add("Reshape", qkv, qkv_shape)
        query, key, value = graph.add_many("Split", 3, qkv, axis=-1, num_outputs=3)
        attended = graph.add(
            "MultiHeadAttention", query, key, value, "", mask, domain=MICROSOFT, num_heads=HEADS
        )
        attended = graph.add("Reshape", attended, flat)
        attended = elsewhere(f"{prefix}.attention.output.dense", attended)
        summed = graph.add("Add", attended, hidden)
        hidden = norm(summed, f"{prefix}.attention.output.LayerNorm")
        name = f"{prefix}.intermediate.dense"
        weight, bias = weights[f"{name}.weight"].T, weights[f"{name}.bias"]
        inner = graph.add("Gelu", after_norm(name, summed, hidden, weight, bias), domain=MICROSOFT)
        outer = elsewhere(f"{prefix}.output.dense", inner, GELU_SHIFT)
        summed = graph.add("Add", outer, hidden)
        hidden = norm(summed, f"{prefix}.output.LayerNorm")

    width = graph.constant("int_width", np.array([WIDTH], np.int64))
    states = graph.add("Reshape", hidden, graph.add("Concat", shape, width, axis=0))
    return states, norms


def build_graph(weights: dict[str, Floats], limits: dict[str, Limits] | None = None) -> Any:
    """Write the model as an ONNX graph.

    Parameters
    ----------
    weights : dict
        Tensors by the names they have in ``model.safetensors``.
    limits : dict, optional
        Centres and half ranges of the output of each layer normalisation, by its name.  Without
        them the model is not quantised, but float32.

    Returns
    -------
    onnx.ModelProto
        Inputs ``input_ids`` and ``attention_mask``, int64, of shape (batch, sequence); output
        ``embeddings``, float32, of shape (batch, 384), each row of length one.  The float32
        model has one more output for each layer normalisation, of its name and of shape
        (batch * sequence, 384).
    """
    from onnx import TensorProto, helper

    graph = Graph()
    states, norms = encode(graph, weights, limits)
    # Only the direction counts, so that the masked sum does for the mean.
    one = graph.constant("int_1", np.array([1], np.int64))
    real = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    pooled = graph.add("MatMul", graph.add("Unsqueeze", real, one), states)
    pooled = graph.add("Squeeze", pooled, one)
    graph.nodes.append(
        helper.make_node("LpNormalization", [pooled], ["embeddings"], name="embeddings", axis=-1, p=2)
    )
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", WIDTH])]
    if limits is None:
        outputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", WIDTH]) for name in norms
        ]
    return model(graph, "all-MiniLM-L6-v2", inputs, outputs, "export_models.py")


def model(graph: Graph, name: str, inputs: Sequence[Any], outputs: Sequence[Any], producer: str) -> Any:
    """Return a graph as a model with inputs and outputs."""
    from onnx import helper

    body = helper.make_graph(graph.nodes, name, inputs, outputs, list(graph.constants.values()))
    return helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=IR_VERSION,
        producer_name=producer,
    )
