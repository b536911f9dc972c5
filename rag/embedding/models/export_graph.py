"""Write all-MiniLM-L6-v2 as an ONNX graph, in float32 or with eight-bit weights.

The graph is written node by node instead of being traced and quantised by a tool, for three
reasons.

* A text must get the same vector whatever batch it is in.  The usual dynamic quantisation takes
  one activation scale per batch, which moves a vector by up to 0.01 of cosine.  Here each token
  has its own scale, or each channel a fixed one, which is as fast and more precise.
* A machine without VNNI instructions adds pairs of products in sixteen bits and saturates.  The
  weights are rounded so that no pair can overflow (see `quantise_weight`), so that the machine
  does not matter, at almost the full eight bits.
* The same weights give the same bytes: no tool's rewriting changes from release to release.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
#: Weight and bias of a layer normalisation.
Norm = tuple[Floats, Floats]
#: Centre and half range of each channel of a layer.
Limits = tuple[Floats, Floats]

LAYERS = 6
HEADS = 12
WIDTH = 384
EPSILON = 1e-12
OPSET = 18
IR_VERSION = 9
MICROSOFT = "com.microsoft"

#: Added to the output of GELU (least value: -0.17) to make it positive; the bias takes it back.
GELU_SHIFT = 0.17

#: Sum of two weights of one sign that 255 multiplies without leaving sixteen bits.
PAIR_LIMIT = 128


class Graph:
    """A list of ONNX nodes and constants that grows.

    Attributes
    ----------
    nodes : list
        Nodes in order of execution.
    constants : dict
        Initialisers by name.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, value: Array | np.generic) -> str:
        """Add a constant unless one of that name exists, and return its name."""
        from onnx import numpy_helper

        if name not in self.constants:
            # Not ascontiguousarray, which would make a scalar one-dimensional.
            array = np.array(value, order="C")
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the name of the output."""
        return self.add_many(kind, 1, *inputs, domain=domain, **attributes)[0]

    def add_many(self, kind: str, count: int, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        """Add a node with `count` outputs and return their names."""
        from onnx import helper

        name = f"{kind}_{len(self.nodes)}"
        outputs = [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs


def quantise_rows(matrix: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Quantise each row to int8 with its own scale.

    Parameters
    ----------
    matrix : ndarray of shape (rows, columns)
        What to quantise; a row of zeros is allowed.

    Returns
    -------
    quantised : ndarray of int8, shape (rows, columns)
    scales : ndarray of float32, shape (rows,)
        ``matrix`` is about ``quantised * scales[:, None]``.
    """
    scales = (np.abs(matrix).max(axis=1) / 127).astype(np.float32)
    safe = np.where(scales > 0, scales, np.float32(1))
    return np.rint(matrix / safe[:, None]).astype(np.int8), scales


def _largest_pair(weight: Floats) -> Floats:
    """Return, per column, the largest sum of one sign of two neighbouring rows."""
    positive = np.clip(weight, 0, None)
    negative = np.clip(-weight, 0, None)
    largest: Floats = np.maximum(positive[0::2] + positive[1::2], negative[0::2] + negative[1::2]).max(axis=0)
    return largest


def quantise_weight(weight: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Quantise each column to int8 so that no pair of products leaves sixteen bits.

    Processors without VNNI multiply unsigned activations by signed weights two at a time and
    saturate the sum of the two at 32,767.  That cannot happen while the weights of one sign of
    two neighbours sum to at most 128.  Halving the range of the weights (``reduce_range``) would
    do, but large weights seldom neighbour each other, so that a slightly larger scale suffices.

    Parameters
    ----------
    weight : ndarray of shape (inputs, outputs)
        An even number of inputs.

    Returns
    -------
    quantised : ndarray of int8, shape (inputs, outputs)
    scales : ndarray of float32, shape (outputs,)
    """
    scales = np.maximum(np.abs(weight).max(axis=0) / 127, _largest_pair(weight) / PAIR_LIMIT)
    scales = scales.astype(np.float32)
    while True:
        rounded = np.rint(weight / scales)
        bad = (_largest_pair(rounded) > PAIR_LIMIT) | (np.abs(rounded).max(axis=0) > 127)
        if not bad.any():
            return rounded.astype(np.int8), scales
        scales = np.where(bad, scales * np.float32(1.001), scales).astype(np.float32)


def float_product(graph: Graph, name: str, rows: str, weight: Floats, bias: Floats) -> str:
    """Add ``rows @ weight + bias`` in float32."""
    product = graph.add("MatMul", rows, graph.constant(f"{name}.weight", weight))
    return graph.add("Add", product, graph.constant(f"{name}.bias", bias))


def normed_product(
    graph: Graph, name: str, summed: str, norm: Norm, weight: Floats, bias: Floats, limits: Limits
) -> str:
    """Add ``layer_norm(summed) @ weight + bias`` in int8, with fixed activation scales.

    The channels of a normalised layer have lasting offsets and very different widths, which a
    single scale for all of them would serve badly.  Here each channel has its own centre and
    half range.  That costs nothing at run time: the normalisation is repeated with a weight and
    a bias that leave every channel between -127 and 127, the half ranges go into the weight of
    the product and the centres into its bias.

    Parameters
    ----------
    graph : Graph
        What to add to.
    name : str
        Prefix of the constants.
    summed : str
        Name of what is to be normalised, of shape (rows, inputs).
    norm : tuple of ndarray
        Weight and bias of the normalisation.
    weight, bias : ndarray
        Of the product, of shapes (inputs, outputs) and (outputs,).
    limits : tuple of ndarray
        Centre and half range of each channel.

    Returns
    -------
    str
        Name of the result, of shape (rows, outputs).
    """
    centre, half = limits
    steps = half / np.float32(127)
    rows = graph.add(
        "LayerNormalization",
        summed,
        graph.constant(f"{name}.norm_weight", norm[0] / steps),
        graph.constant(f"{name}.norm_bias", (norm[1] - centre) / steps),
        epsilon=EPSILON,
        axis=-1,
    )
    quantised, scales = quantise_weight(weight * steps[:, None])
    one = graph.constant("one", np.float32(1))
    zero = graph.constant("zero_128", np.uint8(128))
    return graph.add(
        "MatMulIntegerToFloat",
        graph.add("QuantizeLinear", rows, one, zero),
        graph.constant(f"{name}.weight", quantised),
        one,
        graph.constant(f"{name}.scales", scales),
        zero,
        graph.constant(f"{name}.zeros", np.zeros(len(scales), np.int8)),
        graph.constant(f"{name}.bias", (bias + centre @ weight).astype(np.float32)),
        domain=MICROSOFT,
    )


def rowwise_product(
    graph: Graph, name: str, rows: str, weight: Floats, bias: Floats, shift: float = 0.0
) -> str:
    """Add ``rows @ weight + bias`` in int8, with an activation scale for each row.

    Parameters
    ----------
    graph : Graph
        What to add to.
    name : str
        Prefix of the constants.
    rows : str
        Name of the activations, of shape (rows, inputs).
    weight, bias : ndarray
        Of shapes (inputs, outputs) and (outputs,).
    shift : float
        Zero for activations of both signs; otherwise what makes them positive when added, which
        gives them the full eight bits.

    Returns
    -------
    str
        Name of the result, of shape (rows, outputs).
    """
    quantised, scales = quantise_weight(weight)
    last = graph.constant("last_axis", np.array([-1], np.int64))
    if shift:
        rows = graph.add("Add", rows, graph.constant("shift", np.float32(shift)))
        sums = quantised.astype(np.float32).sum(axis=0) * scales
        bias = (bias - np.float32(shift) * sums).astype(np.float32)
        largest = graph.add("ReduceMax", rows, last, keepdims=0)
        zero, steps = 0, 255
    else:
        largest = graph.add("ReduceMax", graph.add("Abs", rows), last, keepdims=0)
        zero, steps = 128, 127
    inverse = graph.constant(f"inverse_{steps}", np.float32(1 / steps))
    row_scales = graph.add("Mul", largest, inverse)
    row_zeros = graph.add(
        "Expand",
        graph.constant(f"zeros_{zero}", np.array([zero], np.uint8)),
        graph.add("Shape", row_scales),
    )
    product = graph.add(
        "MatMulIntegerToFloat",
        graph.add("QuantizeLinear", rows, row_scales, row_zeros, axis=0),
        graph.constant(f"{name}.weight", quantised),
        graph.constant("one", np.float32(1)),
        graph.constant(f"{name}.scales", scales),
        graph.constant(f"zero_{zero}", np.uint8(zero)),
        graph.constant(f"{name}.zeros", np.zeros(len(scales), np.int8)),
        domain=MICROSOFT,
    )
    scaled = graph.add("Mul", product, graph.add("Unsqueeze", row_scales, last))
    return graph.add("Add", scaled, graph.constant(f"{name}.bias", bias))


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
    # Every token has type 0, so that its vector can be part of the positions.
    positions = (
        weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
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
    flat = graph.constant("flat", np.array([-1, WIDTH], np.int64))
    summed = graph.add("Reshape", graph.add("Add", embedded, position), flat)
    hidden = norm(summed, "embeddings.LayerNorm")

    wide = graph.constant("int_qkv", np.array([3 * WIDTH], np.int64))
    qkv_shape = graph.add("Concat", shape, wide, axis=0)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.INT32)
    for layer in range(LAYERS):
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
    # Only the direction counts, so that the masked sum does for the mean.
    real = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    pooled = graph.add("MatMul", graph.add("Unsqueeze", real, numbers[1]), states)
    pooled = graph.add("Squeeze", pooled, numbers[1])
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
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, list(graph.constants.values()))
    return helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=IR_VERSION,
        producer_name="export_models.py",
    )
