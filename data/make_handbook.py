"""Make ``data/handbook`` and ``data/golden.jsonl`` from ``data/sources``.

    python data/make_handbook.py            # writes both
    python data/make_handbook.py --check    # fails if what is there differs in text or questions

Every document of the sample corpus is written once, as Markdown with front matter, under
``data/sources``; the front matter's ``format`` says what it becomes here: Markdown, plain text,
HTML, PDF or Word. Metadata of what is not Markdown goes into a sidecar, as Bedrock Knowledge Bases
reads it. Questions name their evidence by a quote from the source; its offsets are looked up in the
text that the loader makes of the rendered file. What an answer must say stands beside it, under the keys of
a golden set (``rag golden schema``); ``denies: true`` is short for a pattern that a "no" matches.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml
from docx import Document as WordDocument
from docx.shared import Pt
from fpdf import FPDF
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.evaluation.golden_rules import DENIAL
from rag.generation.quotes import find_quote
from rag.loading.loader import Loader

HERE = Path(__file__).parent
FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
MARKDOWN = MarkdownIt("commonmark").enable("table")
# What the PDF's standard fonts cannot write.
LATIN = str.maketrans({
    "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "→": "->", "≥": ">=",
    "≤": "<=", "€": "EUR", "•": "-", "−": "-", "\u00a0": " ", "\u202f": " ", "≈": "~", "✓": "yes",
})  # fmt: skip


def plain(token: Token) -> str:
    """Return an inline token's text without markup; a link keeps its text."""
    out = []
    for child in token.children or []:
        if child.type in ("text", "code_inline"):
            out.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            out.append(" ")
    return "".join(out)


class Blocks:
    """Walks Markdown and tells a writer of its blocks."""

    def __init__(self, body: str, writer: Any) -> None:
        depth: list[str] = []
        number: list[int] = []
        quote = 0
        tokens = MARKDOWN.parse(body)
        rows: list[list[str]] = []
        for at, token in enumerate(tokens):
            kind = token.type
            if kind == "heading_open":
                writer.heading(int(token.tag[1]), plain(tokens[at + 1]))
            elif kind in ("bullet_list_open", "ordered_list_open"):
                depth.append(kind[:6])
                number.append(0)
            elif kind in ("bullet_list_close", "ordered_list_close"):
                depth.pop()
                number.pop()
                if not depth:
                    writer.end_list()
            elif kind == "list_item_open":
                number[-1] += 1
            elif kind == "blockquote_open":
                quote += 1
            elif kind == "blockquote_close":
                quote -= 1
            elif kind == "paragraph_open":
                text = plain(tokens[at + 1])
                if depth:
                    first = tokens[at - 1].type == "list_item_open"
                    mark = f"{number[-1]}." if depth[-1] == "ordere" else "-"
                    writer.item(len(depth), mark if first else "", text)
                elif quote:
                    writer.quote(text)
                else:
                    writer.paragraph(text)
            elif kind == "fence":
                writer.code(token.content.rstrip("\n"))
            elif kind == "tr_open":
                rows.append([])
            elif kind in ("th_open", "td_open"):
                rows[-1].append(plain(tokens[at + 1]))
            elif kind == "table_close":
                writer.table(rows)
                rows = []


class TextWriter:
    """Plain text, as somebody would type it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def heading(self, level: int, text: str) -> None:
        rule = "=" if level == 1 else "-"
        self.lines += [text.upper() if level == 1 else text, rule * len(text), ""]

    def paragraph(self, text: str) -> None:
        self.lines += [text, ""]

    def quote(self, text: str) -> None:
        self.lines += [f"    {text}", ""]

    def item(self, depth: int, mark: str, text: str) -> None:
        self.lines.append("  " * (depth - 1) + f"{mark} {text}".strip())

    def end_list(self) -> None:
        self.lines.append("")

    def code(self, text: str) -> None:
        self.lines += [*(f"    {line}" for line in text.splitlines()), ""]

    def table(self, rows: list[list[str]]) -> None:
        widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
        for row in rows:
            self.lines.append("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip())
        self.lines.append("")


class PdfWriter:
    """A4, standard fonts, an outline of the headings, a foot on each page."""

    def __init__(self, title: str, foot: str) -> None:
        class Pages(FPDF):
            def footer(self) -> None:
                self.set_y(-14)
                self.set_font("Helvetica", size=8)
                self.cell(0, 8, f"{foot} - page {self.page_no()}".translate(LATIN), align="C")

        self.pdf = Pages(format="A4")
        self.pdf.set_creation_date(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        self.pdf.set_title(title.translate(LATIN))
        self.pdf.set_margin(22)
        self.pdf.set_auto_page_break(True, margin=22)
        self.pdf.add_page()

    def _write(
        self, text: str, size: float, style: str = "", indent: float = 0, font: str = "Helvetica"
    ) -> None:
        self.pdf.set_font(font, style, size)
        self.pdf.set_x(self.pdf.l_margin + indent)
        self.pdf.multi_cell(0, size * 0.5, text.translate(LATIN), new_x="LMARGIN", new_y="NEXT", align="L")

    def heading(self, level: int, text: str) -> None:
        self.pdf.ln(3)
        if self.pdf.get_y() > 245:  # no heading alone at a page's end
            self.pdf.add_page()
        self.pdf.start_section(text.translate(LATIN), level=level - 1, strict=False)
        self._write(text, {1: 18, 2: 14}.get(level, 12), "B")
        self.pdf.ln(1)

    def paragraph(self, text: str) -> None:
        self._write(text, 10.5)
        self.pdf.ln(2)

    def quote(self, text: str) -> None:
        self._write(text, 10.5, "I", indent=8)
        self.pdf.ln(2)

    def item(self, depth: int, mark: str, text: str) -> None:
        self._write(f"{mark} {text}".strip(), 10.5, indent=5.0 * depth)

    def end_list(self) -> None:
        self.pdf.ln(2)

    def code(self, text: str) -> None:
        self._write(text, 9, font="Courier", indent=5)
        self.pdf.ln(2)

    def table(self, rows: list[list[str]]) -> None:
        self.pdf.set_font("Helvetica", size=9.5)
        with self.pdf.table(line_height=5.2, text_align="LEFT") as table:
            for row in rows:
                cells = table.row()
                for cell in row:
                    cells.cell(cell.translate(LATIN))
        self.pdf.ln(3)

    def bytes(self) -> bytes:
        return bytes(self.pdf.output())


class WordWriter:
    """A Word document in the default template's styles."""

    def __init__(self, title: str) -> None:
        self.document = WordDocument()
        self.document.styles["Normal"].font.size = Pt(10.5)
        properties = self.document.core_properties
        properties.title, properties.author = title, "Kelvara"
        properties.created = properties.modified = dt.datetime(2026, 1, 1)

    def heading(self, level: int, text: str) -> None:
        self.document.add_heading(text, level)

    def paragraph(self, text: str) -> None:
        self.document.add_paragraph(text)

    def quote(self, text: str) -> None:
        self.document.add_paragraph(text, style="Intense Quote")

    def item(self, depth: int, mark: str, text: str) -> None:
        kind = "List Bullet" if mark == "-" else "List Number" if mark else "List Continue"
        self.document.add_paragraph(text, style=kind if depth == 1 else f"{kind} {depth}")

    def end_list(self) -> None:
        pass

    def code(self, text: str) -> None:
        self.document.add_paragraph(text, style="macro")

    def table(self, rows: list[list[str]]) -> None:
        table = self.document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
        for row in rows:
            for cell, text in zip(table.add_row().cells, row, strict=False):
                cell.text = text

    def bytes(self) -> bytes:
        raw = io.BytesIO()
        self.document.save(raw)
        out = io.BytesIO()  # again with fixed dates, so that the same source gives the same bytes
        with zipfile.ZipFile(raw) as old, zipfile.ZipFile(out, "w") as new:
            for item in old.infolist():
                fixed = zipfile.ZipInfo(item.filename, (2026, 1, 1, 0, 0, 0))
                new.writestr(fixed, old.read(item), zipfile.ZIP_DEFLATED)
        return out.getvalue()


def html(title: str, body: str) -> str:
    """Return a page as an intranet would serve it: with navigation that is not the text."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        "<style>body { font-family: sans-serif; max-width: 48em; margin: auto }</style>\n</head>\n"
        '<body>\n<nav><a href="/">Kelvara intranet</a> | <a href="/az">A to Z</a> | '
        '<a href="/search">Search</a></nav>\n<main>\n'
        f"{MARKDOWN.render(body)}</main>\n</body>\n</html>\n"
    )


def render(source: Path, folder: Path) -> Path:
    """Write one source in its format under `folder`; return the file."""
    text = source.read_text(encoding="utf-8")
    front = FRONT.match(text)
    if front is None:
        raise SystemExit(f"{source} has no front matter")
    metadata, body = yaml.safe_load(front[1]), text[front.end() :].lstrip("\n")
    kind = metadata.pop("format")
    place = source.relative_to(HERE / "sources").with_suffix(f".{kind}")
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    title = metadata["title"]
    if kind == "md":
        head = yaml.safe_dump(
            metadata, sort_keys=False, allow_unicode=True, default_flow_style=None, width=1000
        )
        target.write_text(f"---\n{head}---\n{body}", encoding="utf-8")
        return place
    writer: Any
    if kind == "txt":
        writer = TextWriter()
        Blocks(body, writer)
        target.write_text("\n".join(writer.lines).rstrip() + "\n", encoding="utf-8")
    elif kind == "html":
        target.write_text(html(title, body), encoding="utf-8")
    else:
        foot = f"Kelvara internal - {title} - version {metadata['version']}"
        writer = PdfWriter(title, foot) if kind == "pdf" else WordWriter(title)
        Blocks(body, writer)
        target.write_bytes(writer.bytes())
    sidecar = {"metadataAttributes": {
        name: value.isoformat() if isinstance(value, dt.date) else value for name, value in metadata.items()
    }}  # fmt: skip
    target.with_name(target.name + ".metadata.json").write_text(
        json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return place


# What a question's answer must say: keys of a golden set that are taken over as they are.
SAID = ("numbers", "must_include", "must_not_include", "regex")
# The departments that questions without evidence would concern are written at the question.
DEPARTMENTS = ("engineering", "finance", "legal", "operations", "people", "product", "security", "support")


def evidence(quote: str, text: str) -> list[tuple[int, int]]:
    """Return where a quote stands in a loaded text; two spans where a page ends inside it."""
    for wanted in (quote, quote.translate(LATIN)):
        found = find_quote(text, wanted)
        if found:
            return [found]
        words = wanted.split()
        for cut in range(len(words) - 2, 1, -1):
            head, tail = (
                find_quote(text, " ".join(words[:cut])),
                find_quote(text, " ".join(words[cut:])),
            )
            if head and tail and 0 < tail[0] - head[1] < 200:
                return [head, tail]
    return []


def questions(names: dict[str, str], texts: dict[str, str]) -> list[dict[str, Any]]:
    """Read the questions, with their evidence as offsets."""
    out: list[dict[str, Any]] = []
    for path in sorted((HERE / "sources" / "questions").glob("*.yaml")):
        for item in yaml.safe_load(path.read_text(encoding="utf-8")):
            spans = []
            for each in item["evidence"]:
                source = names[each["source"]]
                found = evidence(each["quote"], texts[source])
                if not found:
                    raise SystemExit(f"{item['id']}: the quote does not stand in {source}: {each['quote']!r}")
                if find_quote(texts[source][found[-1][1] :], each["quote"]):
                    raise SystemExit(f"{item['id']}: the quote stands twice in {source}: {each['quote']!r}")
                spans += [
                    {"source": source, "start": a, "end": b, "quote": texts[source][a:b]} for a, b in found
                ]
            row = {"id": item["id"], "question": item["question"]}
            if item.get("where"):
                row["where"] = item["where"]
            if not spans:  # unanswerable: near the corpus' topics, or far from them
                row |= {"kind": item.get("kind", "near_miss"), "answerable": False}
            row |= {"evidence": spans, "answer": item["answer"], **said(item)}
            out.append({**row, "tags": tags(item, row)})
    return out


def said(item: dict[str, Any]) -> dict[str, Any]:
    """Return what the answer to a question must say."""
    values = {key: item[key] for key in SAID if key in item}
    if item.get("denies"):
        values["regex"] = [DENIAL.pattern, *values.get("regex", ())]
    return values


def tags(item: dict[str, Any], row: dict[str, Any]) -> list[str]:
    """Return a question's tags: departments, kinds, and whether its evidence stands in one place."""
    own = item.get("tags", [])
    departments = sorted(
        {each["source"].split("/")[0] for each in item["evidence"]} | {*own} & {*DEPARTMENTS}
    )
    kinds = [tag for tag in own if tag not in DEPARTMENTS]
    places = ["single" if len(item["evidence"]) == 1 else "several"] if item["evidence"] else [row["kind"]]
    return [*departments, *kinds, *(["filter"] if "where" in row else []), *places]


def make(folder: Path) -> str:
    """Write the handbook into `folder`; return the golden set."""
    sources = sorted(p for p in (HERE / "sources").rglob("*.md"))
    names = {
        path.relative_to(HERE / "sources").as_posix(): render(path, folder).as_posix() for path in sources
    }
    loader = Loader(folder)
    texts = {document.metadata["source"]: document.page_content for document in loader.load()}
    if loader.quarantined:
        raise SystemExit(f"not loaded: {loader.quarantined}")
    rows = questions(names, texts)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Make both, or check them."""
    parser = argparse.ArgumentParser(description="Make data/handbook and data/golden.jsonl.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if they differ")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "handbook"
        golden = make(folder)
        if check:
            made = {d.metadata["source"]: d.page_content for d in Loader(folder).load()}
            kept = {d.metadata["source"]: d.page_content for d in Loader(HERE / "handbook").load()}
            different = sorted(k for k in made.keys() | kept.keys() if made.get(k) != kept.get(k))
            if different or golden != (HERE / "golden.jsonl").read_text(encoding="utf-8"):
                sys.exit(f"data/ differs from data/sources: run python data/make_handbook.py ({different})")
            return
        shutil.rmtree(HERE / "handbook", ignore_errors=True)
        shutil.copytree(folder, HERE / "handbook")
        (HERE / "golden.jsonl").write_text(golden, encoding="utf-8")


if __name__ == "__main__":
    main()
