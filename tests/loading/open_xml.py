"""Office Open XML files made from their parts, and parsed in this process."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from rag.loading.formats.registry import parse, parser_of
from rag.loading.structure import Options, Parsed
from tests.loading.files import zipped

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex" '
    'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:odd="urn:example:odd" '
    f'xmlns:r="{OFFICE}"'
)
#: Relationships of a part: identifier to type and target.
Relations = dict[str, tuple[str, str]]


def xml(text: str) -> str:
    """An element with the namespaces of all that is used here."""
    head, mark, rest = text.partition(">")
    return f"{head.removesuffix('/')} {SPACES}{'/' if head.endswith('/') else ''}{mark}{rest}"


def relations(items: Relations) -> str:
    rows = (
        f'<Relationship Id="{key}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for key, (kind, target) in items.items()
    )
    return f"<Relationships>{''.join(rows)}</Relationships>"


def packed(main: str, root: str, parts: dict[str, str | bytes], links: Relations) -> bytes:
    folder, _, file = main.rpartition("/")
    return zipped({
        "[Content_Types].xml": "<Types/>", "_rels/.rels": relations({"rId1": ("officeDocument", main)}),
        main: xml(root), f"{folder}/_rels/{file}.rels": relations(links), **parts,
    })  # fmt: skip


def word(body: str, links: Relations | None = None, **parts: str | bytes) -> bytes:
    """A Word document; the parts are named by their files, e.g. ``numbering="<w:numbering>…"``."""
    known = {name: (name, f"{name}.xml") for name in parts}
    files = {f"word/{name}.xml": xml(text) if isinstance(text, str) else text for name, text in parts.items()}
    return packed(
        "word/document.xml", f"<w:document><w:body>{body}</w:body></w:document>", files, known | (links or {})
    )


def slides(*trees: str, links: Relations | None = None, parts: dict[str, str | bytes] | None = None) -> bytes:
    """A presentation: a slide for each tree of shapes."""
    entries = "".join(f'<p:sldId id="{256 + n}" r:id="s{n}"/>' for n in range(len(trees)))
    files: dict[str, str | bytes] = dict(parts or {})
    for number, tree in enumerate(trees):
        files[f"ppt/slides/slide{number}.xml"] = xml(
            f"<p:sld><p:cSld><p:spTree>{tree}</p:spTree></p:cSld></p:sld>"
        )
        files.setdefault(f"ppt/slides/_rels/slide{number}.xml.rels", relations(links or {}))
    named = {f"s{n}": ("slide", f"slides/slide{n}.xml") for n in range(len(trees))}
    root = f"<p:presentation><p:sldIdLst>{entries}</p:sldIdLst></p:presentation>"
    return packed("ppt/presentation.xml", root, files, named)


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    """An archive with one more member, or another content of one."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members: dict[str, str | bytes] = {each: archive.read(each) for each in archive.namelist()}
    return zipped({**members, name: content})


def read(data: bytes, name: str) -> Parsed:
    """Parse bytes as a file of that name."""
    path = Path(name)
    return parse(parser_of(path, data[:4096]).parser, path, data, Options())


def p(text: str, properties: str = "", run: str = "") -> str:
    """A paragraph of Word."""
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t xml:space='preserve'>{text}</w:t></w:r></w:p>"


def box(text: str, properties: str = "", kind: str = "") -> str:
    """A shape of a slide, with a paragraph for each line."""
    mark = f'<p:ph type="{kind}"/>' if kind else ""
    lines = "".join(f"<a:p>{properties}<a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="x"/><p:cNvSpPr/><p:nvPr>{mark}</p:nvPr></p:nvSpPr><p:spPr/>'
        f"<p:txBody><a:bodyPr/>{lines}</p:txBody></p:sp>"
    )
