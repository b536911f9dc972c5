"""How many characters of text files are read right: `rag`, charset-normalizer and chardet side by side.

``python -m tests.benchmarks.encodings [--held-out] [--samples N] [--seed N] [--texts FOLDER] [--show]``. Each
sample is some sentences of one language in one encoding, 50 to 5,000 bytes, a half of them damaged. What
counts as right is what the true encoding makes of the damaged bytes. `rag`'s costs were set on the
development texts; `--held-out` takes sentences that nothing was set on, and `--texts` files ``LANGUAGE.txt``
of a folder.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rag.core.errors import LoadError
from rag.loading.formats.encoding import decode
from tests.benchmarks.encoding_texts import DEVELOPMENT, ENCODINGS, HELD_OUT
from tests.benchmarks.train_letters import toned

DAMAGES = ("", "", "", "byte", "cut", "nuls")


class Sample(NamedTuple):
    language: str
    encoding: str
    damage: str
    data: bytes
    right: str


def samples(texts: dict[str, str], count: int, seed: int) -> Iterator[Sample]:
    """Yield samples, all languages and encodings in turn."""
    dice = random.Random(seed)
    kinds = [(language, encoding) for language in texts for encoding in ENCODINGS[language]]
    for number in range(count):
        if number % len(kinds) == 0:
            dice.shuffle(kinds)
        language, encoding = kinds[number % len(kinds)]
        size = round(50 * 100 ** dice.random())
        text = ""
        lines = texts[language].split("\n")
        while len(text) < size:
            text += dice.choice(lines) + dice.choice(("\n", "\n", "\r\n", " "))
        text = toned(text) if encoding == "cp1258" else text
        data = fitting(text, encoding, size)
        damage = dice.choice(DAMAGES)
        data = damaged(data, damage, encoding, dice)
        right = data.decode(encoding, "replace")
        yield Sample(language, encoding, damage, data, plain(right))


def fitting(text: str, encoding: str, size: int) -> bytes:
    """Return a text of about so many bytes, without the characters that the encoding lacks."""
    text = "".join(char for char in text if char.encode(encoding, "ignore") or char == "\ufeff")
    wide = max(1, len(text.encode(encoding)) / len(text))
    return text[: max(8, round(size / wide))].encode(encoding)


def damaged(data: bytes, damage: str, encoding: str, dice: random.Random) -> bytes:
    """Return the bytes with a wrong one, cut off, or with a few NULs written over others."""
    at = dice.randrange(4, len(data))
    if damage == "byte" and not encoding.startswith("iso2022"):
        return data[:at] + bytes([dice.randrange(0x80, 0x100)]) + data[at + 1 :]
    if damage == "cut":
        return data[: -dice.randrange(1, 4)]
    if damage == "nuls" and not encoding.startswith("iso2022"):
        wide = 2 if "16" in encoding else 1
        at -= at % wide
        return data[:at] + bytes(wide * dice.randrange(1, 4)) + data[at:]
    return data


def plain(text: str) -> str:
    return text.replace("\0", " ").removeprefix("\ufeff")


def share(right: str, read: str) -> float:
    """Return the share of characters that are right, in their place where the lengths are equal."""
    if len(right) == len(read):
        return sum(a == b for a, b in zip(right, read, strict=True)) / max(1, len(right))
    start = 0
    while start < min(len(right), len(read)) and right[start] == read[start]:
        start += 1
    end = 0
    while end < min(len(right), len(read)) - start and right[-1 - end] == read[-1 - end]:
        end += 1
    common = Counter(right[start : len(right) - end]) & Counter(read[start : len(read) - end])
    return (start + end + sum(common.values())) / max(1, len(right))


def by_rag(data: bytes) -> tuple[str, str]:
    try:
        text, encoding, _ = decode(data)
    except LoadError:
        return "", "refused"
    return text, encoding


def by_charset_normalizer(data: bytes) -> tuple[str, str]:
    import charset_normalizer

    best = charset_normalizer.from_bytes(data).best()
    return (str(best), best.encoding) if best else ("", "none")


def by_chardet(data: bytes) -> tuple[str, str]:
    import chardet

    encoding = chardet.detect(data)["encoding"] or "latin-1"
    return data.decode(encoding, "replace"), encoding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--show", action="store_true", help="name the samples that rag reads wrong")
    parser.add_argument("--alone", action="store_true", help="rag without the others")
    given = parser.parse_args()
    texts = HELD_OUT if given.held_out else DEVELOPMENT
    if given.texts:
        paths = {path.stem: path for path in sorted(given.texts.glob("*.txt")) if path.stem in ENCODINGS}
        texts = {name: unicodedata.normalize("NFC", path.read_text("utf-8")) for name, path in paths.items()}
    readers: dict[str, Callable[[bytes], tuple[str, str]]] = {"rag": by_rag}
    if not given.alone:
        peers = {"charset_normalizer": by_charset_normalizer, "chardet": by_chardet}
        readers |= {name: reader for name, reader in peers.items() if importlib.util.find_spec(name)}
    made = list(samples(texts, given.samples, given.seed))
    characters = sum(len(sample.right) for sample in made)
    print(f"{len(made)} samples, {characters} characters, {len(texts)} languages")
    for name, reader in readers.items():
        begun = time.perf_counter()
        right, whole = 0.0, 0
        worst: dict[str, list[float]] = defaultdict(list)
        for sample in made:
            text, encoding = reader(sample.data)
            part = share(sample.right, plain(text))
            right += part * len(sample.right)
            whole += part == 1
            worst[sample.encoding].append(part)
            if given.show and name == "rag" and part < 0.995:
                print(f"  {sample.language} {sample.encoding} {sample.damage or 'clean'} "
                      f"{len(sample.data)} bytes read as {encoding}: {part:.3f} {plain(text)[:50]!r}")  # fmt: skip
        mean = sum(map(sum, worst.values())) / len(made)
        print(
            f"{name:20} characters {right / characters:7.2%}  mean of samples {mean:7.2%}  "
            f"samples whole {whole / len(made):6.1%}  {time.perf_counter() - begun:5.1f} s"
        )
        low = sorted(worst, key=lambda encoding: sum(worst[encoding]) / len(worst[encoding]))[:6]
        print("    lowest: " + ", ".join(f"{e} {sum(worst[e]) / len(worst[e]):.1%}" for e in low))


if __name__ == "__main__":
    main()
