"""Parts of an ONNX graph, in float32 or with eight-bit weights; `export_encoder` puts MiniLM together.

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

EPSILON = 1e-12
MICROSOFT = "com.microsoft"

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
