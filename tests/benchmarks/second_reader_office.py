"""Which words of Office files our loader loses, by a second reader that knows nothing of it.

The second reader takes every text node of every part of the archive (``w:t``, ``a:t``, ``m:t``, shared
strings, values, charts' caches, OpenDocument's paragraphs), in no order. It reads too much on purpose:
deleted text, fallbacks, layouts' prompts and stored numbers are in it, too. Each word that our text
does not hold, or not as often, is printed with the part that it stands in, for a person to judge.

    python -m tests.benchmarks.second_reader_office               # the reference files
    python -m tests.benchmarks.second_reader_office FOLDER …      # other folders or files
"""

from __future__ import annotations

import io
import re
import sys
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from rag.core.errors import LoadError
from rag.loading.formats.registry import parse, parser_of
from rag.loading.structure import Options

SHARED = Path(__file__).parents[3] / "shared"
SUFFIXES = {
    ".docx", ".docm", ".dotx", ".dotm", ".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm", ".xlsx", ".xlsm",
    ".xltx", ".xltm", ".odt", ".odp", ".ods", ".odg",
}  # fmt: skip
#: Parts whose words nobody sees in the document: properties, themes, styles, the text for no reader.
UNSEEN = re.compile(
    r"docProps/|customXml/|theme|styles|settings|fontTable|presProps|viewProps|tableStyles|\.rels$|\[Content_Types\]"
    r"|slideMasters/|slideLayouts/|notesMasters?/|handoutMasters?/|commentAuthors|webSettings|glossary/|meta\.xml"
    r"|manifest|persons/|calcChain|/layout\d*\.xml|/colors\d*\.xml|/quickStyle\d*\.xml|stylesWithEffects|tags/"
)
WORD = re.compile(r"\w+")


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(unicodedata.normalize("NFKC", text)))


def texts(part: str, data: bytes) -> Iterator[str]:
    """The texts of a part, a paragraph or cell each."""
    root = etree.fromstring(data, etree.XMLParser(recover=True, resolve_entities=False, no_network=True))
    if root is None:
        return
    flat = "opendocument" in (root.tag if isinstance(root.tag, str) else "")
    blocks = (
        root.iter("{*}p", "{*}h")
        if flat
        else root.iter("{*}p", "{*}si", "{*}is", "{*}pt", "{*}comment", "{*}c")
    )
    for block in blocks:
        if flat:
            yield "".join(block.itertext())
            continue
        name = etree.QName(block).localname
        inner = list(block.iter("{*}t", "{*}v", "{*}tab", "{*}br"))
        if name in ("p", "si", "is", "comment"):
            yield "".join(e.text or "" if etree.QName(e).localname == "t" else " " for e in inner)
        elif name == "pt" or (name == "c" and block.get("t") in (None, "n", "str")):
            yield " ".join(e.text or "" for e in block.iterchildren("{*}v", "{*}f"))


def second(data: bytes) -> dict[str, Counter[str]]:
    """Each part's words."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.endswith(".xml") and not UNSEEN.search(name):
                try:
                    found[name] = sum(
                        (words(text) for text in texts(name, archive.read(name))), Counter[str]()
                    )
                except (zipfile.BadZipFile, etree.XMLSyntaxError):
                    continue
    return {name: counts for name, counts in found.items() if counts}


def compare(path: Path) -> None:
    """Print what a file holds and our text does not."""
    data = path.read_bytes()
    try:
        parsed = parse(parser_of(path, data[:4096]).parser, path, data, Options())
    except LoadError as error:
        print(f"{path.name}: not read: {error.reason}")
        return
    known = second(data)
    total = sum(known.values(), Counter[str]())
    missing = total - words(parsed.text)
    print(
        f"{path.name}: {sum(missing.values())} of {sum(total.values())} words missing",
        *parsed.notes,
        sep="\n    note: ",
    )
    for name, counts in known.items():
        lost = {word: missing[word] for word in counts if missing[word]}
        if lost:
            print(f"    {name}: {' '.join(list(lost)[:40])}{' …' if len(lost) > 40 else ''}")


def main() -> None:
    places = [Path(argument) for argument in sys.argv[1:]] or [SHARED / "files" / "office"]
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix.lower() in SUFFIXES and zipfile.is_zipfile(path):
                compare(path)


if __name__ == "__main__":
    main()
