"""Count letters and pairs of letters by language, for `rag.loading.formats.letters`.

The texts are the gettext catalogues of the machine it runs on (``/usr/share/locale``); the table holds
frequencies only. Run ``python -m tests.benchmarks.train_letters [FOLDER]`` to write it anew.
"""

from __future__ import annotations

import base64
import gettext
import json
import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from rag.loading.formats.letters import TABLE, folded

#: Language of the table to the catalogues' names for it.
ALPHABETIC = {
    "en": (), "de": ("de",), "fr": ("fr",), "es": ("es",), "pt": ("pt", "pt_BR"), "it": ("it",), "nl": ("nl",),
    "sv": ("sv",), "da": ("da",), "nb": ("nb", "nn"), "fi": ("fi",), "is": ("is",), "ca": ("ca",),
    "pl": ("pl",), "cs": ("cs",), "sk": ("sk",), "hu": ("hu",), "sl": ("sl",), "hr": ("hr", "sr@latin"),
    "ro": ("ro",), "tr": ("tr",), "lt": ("lt",), "lv": ("lv",), "et": ("et",), "vi": ("vi",), "ru": ("ru",),
    "uk": ("uk",), "bg": ("bg",), "sr": ("sr", "mk"), "be": ("be",), "el": ("el",), "he": ("he",),
    "ar": ("ar",), "fa": ("fa",), "th": ("th",),
}  # fmt: skip
IDEOGRAPHIC = {"zh": ("zh_CN",), "zht": ("zh_TW", "zh_HK"), "ja": ("ja",), "ko": ("ko",)}
#: The catalogues of one program may be long and narrow: most characters taken from each.
MOST = 150_000
MOST_LETTERS, MOST_SIGNS = 150, 2600
_MARKUP = re.compile(r"%[-#0-9.*l]*[a-zA-Z]|\{[^}]*\}|<[^>]*>|&[a-z]+;|[_&](?=\w)|\\[nt]")
_TONES = {"\u0300", "\u0301", "\u0303", "\u0309", "\u0323"}


def main(root: Path) -> None:
    """Read the catalogues and write the table."""
    table: dict[str, dict[str, str]] = {}
    for language, names in ALPHABETIC.items():
        table[language] = pairs("\n".join(texts(root, names)))
    for language, names in IDEOGRAPHIC.items():
        table[language] = signs("\n".join(texts(root, names)))
    lines = [f"{json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}" for name, row in table.items()]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{TABLE.name}: {TABLE.stat().st_size} bytes, {len(table)} languages")


def texts(root: Path, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the messages of a language; English are the originals of the German ones."""
    for name in names or ("de",):
        for path in sorted(root.glob(f"{name}/LC_MESSAGES/*.mo")):
            if "iso_" in path.name:  # lists of names
                continue
            try:
                with path.open("rb") as handle:
                    catalogue = gettext.GNUTranslations(handle)._catalog  # type: ignore[attr-defined]
            except (OSError, UnicodeDecodeError):
                continue
            rows = (
                (key[0] if isinstance(key, tuple) else key, text) for key, text in catalogue.items() if key
            )
            text = "\n".join(key if not names else text for key, text in rows if key != text)
            text = _MARKUP.sub(" ", text[:MOST])
            yield text
            if name == "vi":  # as the code page 1258 has it: tones behind their letters
                yield toned(text)


def toned(text: str) -> str:
    """Return a text with Vietnamese tones apart from their letters."""
    out = []
    for char in unicodedata.normalize("NFC", text):
        parts = unicodedata.normalize("NFD", char)
        tones = "".join(mark for mark in parts if mark in _TONES)
        rest = "".join(mark for mark in parts if mark not in _TONES)
        out.append(unicodedata.normalize("NFC", rest) + tones)
    return "".join(out)


def pairs(text: str) -> dict[str, str]:
    """Return an alphabet and the costs of each letter behind each other, in sixteenths of a nat."""
    plain = folded(text)
    counts = Counter(plain)
    total = sum(counts.values())
    latin = sum(counts[chr(code)] for code in range(97, 123)) > total / 3
    letters = [c for c, n in counts.most_common(MOST_LETTERS) if n > 2e-5 * total and c != " "]
    letters = [c for c in letters if latin or not c.isascii()]
    alphabet = " " + "".join(sorted(letters))
    place = {char: number for number, char in enumerate(alphabet)}
    seen = Counter(pairwise(plain))
    rows = [[0.03] * len(alphabet) for _ in alphabet]
    for (first, second), n in seen.items():
        if first in place and second in place:
            rows[place[first]][place[second]] += n
    costs = bytes(min(255, round(-16 * math.log(n / sum(row)))) for row in rows for n in row)
    return {"letters": alphabet, "costs": base64.b64encode(costs).decode()}


def signs(text: str) -> dict[str, str]:
    """Return the most frequent characters beyond ASCII and their costs, in sixteenths of a nat."""
    counts = Counter(char for char in text if not char.isascii() and not char.isspace())
    total = sum(counts.values())
    common = counts.most_common(MOST_SIGNS)
    costs = bytes(min(255, round(-16 * math.log(0.8 * n / total))) for _, n in common)
    return {"signs": "".join(char for char, _ in common), "costs": base64.b64encode(costs).decode()}


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/locale"))
