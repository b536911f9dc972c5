"""Make ``minilm/characters.json``: what BERT's tokenizer makes of each character of Unicode.

Run ``python export_characters.py --out FOLDER`` beside ``export_models.py``. It needs tokenizers, asks
that library about every character by itself, and writes ranges of characters that are

``removed``
    control characters, accents and other marks that take no room, and U+FFFD;
``space``
    read as a space;
``apart``
    ideographs, each a word;
``sign``
    punctuation, each a word.

They are written down, not looked up in Python's `unicodedata`, because the library's tables are of an
older Unicode and Python's differ from version to version, and an embedding must not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SURROGATES = range(0xD800, 0xE000)


def ranges(characters: Iterable[int]) -> list[tuple[int, int]]:
    """Return characters as ranges, both ends included."""
    out: list[tuple[int, int]] = []
    for character in characters:
        if out and out[-1][1] == character - 1:
            out[-1] = (out[-1][0], character)
        else:
            out.append((character, character))
    return out


def classes(tokenizer: Any) -> dict[str, list[tuple[int, int]]]:
    """Ask a tokenizer of BERT's kind about every character."""
    found: dict[str, list[int]] = {"removed": [], "space": [], "apart": [], "sign": []}
    for number in range(0x110000):
        if number in SURROGATES:
            continue
        read = tokenizer.normalizer.normalize_str(chr(number))
        if not read:
            found["removed"].append(number)
        elif read == " ":
            found["space"].append(number)
        elif read[0] == read[-1] == " ":
            found["apart"].append(number)
        if len(tokenizer.pre_tokenizer.pre_tokenize_str(f"a{chr(number)}b")) == 3:
            found["sign"].append(number)
    return {name: ranges(numbers) for name, numbers in found.items()}


def main() -> None:
    """Write the file."""
    from tokenizers import Tokenizer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of minilm/")
    folder = parser.parse_args().out / "minilm"
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = json.dumps(classes(tokenizer), separators=(",", ":"))
    (folder / "characters.json").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
