"""PDF, RTF and mail beside a second reader: the words that it has and we have not, and their order.

The second readers are pypdf, striprtf, and the standard library's mail parser with lxml's text of HTML.
Each file is read in a process of its own under a time limit, by both. A line for each file: words of the
second reader, how many of them we lack (and which), the share of the words that both have once which stand
in the same order, and the seconds of both.

    python -m tests.benchmarks.second_reader_pdf                     # ../shared/files and ../shared/faults
    python -m tests.benchmarks.second_reader_pdf FOLDER-OR-FILE ...  # others
"""

from __future__ import annotations

import bisect
import json
import re
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

LIMIT_S = 60
SHARED = Path(__file__).parents[2].parent / "shared"
SUFFIXES = (".pdf", ".rtf", ".eml", ".msg")


class Reading(NamedTuple):
    """What a reader made of a file: its text, its notes or the reason why there is none, and seconds."""

    text: str
    said: list[str]
    seconds: float


def ours(path: Path) -> tuple[str, list[str]]:
    from rag.loading.formats.registry import parse, parser_of
    from rag.loading.structure import Options

    data = path.read_bytes()
    parsed = parse(parser_of(path, data[:4096]).parser, path, data, Options())
    return parsed.text, parsed.notes


def theirs(path: Path) -> tuple[str, list[str]]:
    if path.suffix == ".pdf":
        import pypdf

        reader = pypdf.PdfReader(path)
        values = [str(one.get("/V", "")) for one in (reader.get_fields() or {}).values()]
        return "\n".join([*(page.extract_text() for page in reader.pages), *values]), []
    if path.suffix == ".rtf":
        from striprtf.striprtf import rtf_to_text

        return rtf_to_text(path.read_text("latin-1"), errors="replace"), []
    if path.suffix == ".msg":
        from oxmsg import Message

        mail = Message.load(str(path))
        return "\n".join([mail.subject, mail.body or _html(mail.html_body or "")]), []
    import email
    import email.policy

    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    texts = [str(message["subject"] or "")]
    for part in message.walk():
        if part.get_content_maintype() == "text":
            texts.append(
                _html(part.get_content()) if part.get_content_subtype() == "html" else part.get_content()
            )
        elif part.get_filename():
            texts.append(part.get_filename())
    return "\n".join(texts), []


def _html(source: str) -> str:
    from lxml import html

    if not source.strip():
        return ""
    tree = html.fromstring(source)
    for hidden in tree.xpath("//script|//style|//head"):
        hidden.drop_tree()
    return " ".join(tree.itertext())


def read(which: str, path: Path) -> Reading:
    """Read a file in a process of its own."""
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.second_reader_pdf", "--one", which, path],
            capture_output=True, text=True, check=False, timeout=LIMIT_S, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Reading("", [f"took more than {LIMIT_S} s"], LIMIT_S)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Reading("", [said[-1][:200] if said else "crashed"], time.perf_counter() - began)
    return Reading(*json.loads(done.stdout.splitlines()[-1]))


def words(text: str) -> list[str]:
    """The words of a text, without what readers do differently: case, forms of letters, line ends."""
    flat = unicodedata.normalize("NFKC", re.sub(r"[-\u00ad]\s*\n\s*", "", text)).casefold()
    return re.findall(r"\w{2,}", flat)


def missing(ours_: str, theirs_: str) -> Counter[str]:
    """Words of the second reader that our text has nowhere, not even with other blanks between letters."""
    lacking = Counter(words(theirs_)) - Counter(dict.fromkeys(words(ours_), sys.maxsize))
    letters = "".join(words(ours_))
    return Counter({word: count for word, count in lacking.items() if word not in letters})


def agreement(ours_: str, theirs_: str) -> float:
    """The share of the words that both have once which stand in the same order: their longest rising run."""
    here, there = Counter(words(ours_)), Counter(words(theirs_))
    once = {word for word, count in here.items() if count == 1 and there[word] == 1}
    place = {word: at for at, word in enumerate(words(theirs_)) if word in once}
    tops: list[int] = []
    for word in words(ours_):
        if word in once:
            at = bisect.bisect_left(tops, place[word])
            tops[at : at + 1] = [place[word]]
    return len(tops) / len(once) if once else 1.0


def compare(path: Path) -> str:
    """The line of one file."""
    mine, other = read("ours", path), read("theirs", path)
    lost = missing(mine.text, other.text)
    shown = " ".join(word for word, _ in lost.most_common(12))
    said = "; ".join([*mine.said, *(f"second reader: {one}" for one in other.said)])
    return (
        f"{path.name[:44]:44} {len(words(other.text)):6} words, lacking {sum(lost.values()):4}, "
        f"order {agreement(mine.text, other.text):4.2f}, {mine.seconds:5.2f} s and {other.seconds:5.2f} s"
        f"{f' | lacking: {shown}' if lost else ''}{f' | {said}' if said else ''}"
    )


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--one"]:
        began = time.perf_counter()
        text, said = (ours if arguments[1] == "ours" else theirs)(Path(arguments[2]))
        print(json.dumps((text, said, round(time.perf_counter() - began, 3))))
        return
    roots = [Path(one) for one in arguments] or [SHARED / "files", SHARED / "faults" / "loading"]
    for root in roots:
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.suffix.lower() in SUFFIXES and path.is_file():
                print(compare(path.resolve()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
