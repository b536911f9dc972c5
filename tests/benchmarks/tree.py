"""A tree of Markdown files of any size, made of the sample handbook's paragraphs."""

from __future__ import annotations

import random
from pathlib import Path

from tests.conftest import HANDBOOK


def make_tree(root: Path, files: int, mean_bytes: int = 5_500, seed: int = 7) -> int:
    """Write `files` Markdown files, 100 a folder, no two alike; return their bytes together."""
    chance = random.Random(seed)
    texts = [path.read_text(encoding="utf-8") for path in sorted(HANDBOOK.rglob("*.md"))]
    paragraphs = [
        part.strip() for text in texts for part in text.split("---\n", 2)[-1].split("\n\n")
        if 80 < len(part) < 1500 and not part.startswith(("#", "|", "```"))
    ]  # fmt: skip
    total = 0
    for number in range(files):
        path = root / f"{number // 100:04d}" / f"page-{number:05d}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = int(mean_bytes * chance.uniform(0.3, 1.7))
        lines = [f"---\nnumber: {number}\narea: a{number % 17}\n---\n# Page {number}"]
        length = 0
        while length < size:
            words = chance.choice(paragraphs).split(" ")
            at = chance.randrange(len(words))
            text = " ".join([*words[at:], f"Entry {chance.randrange(10**6)}.", *words[:at]])
            lines.append(f"## Part {len(lines)}\n\n{text}" if chance.random() < 0.2 else text)
            length += len(text)
        data = "\n\n".join(lines).encode() + b"\n"
        path.write_bytes(data)
        total += len(data)
    return total
