"""The words of rich text: what its control words and code pages mean."""

from __future__ import annotations

import codecs

#: Groups whose text is no text of the document.
SKIPPED = frozenset(
    "fonttbl colortbl stylesheet filetbl listtable listoverridetable revtbl rsidtbl generator pict "
    "nonshppict fldinst bkmkstart bkmkend ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn nonesttables "
    "shprslt sp sn sv tc tcn xe objdata objclass objname background themedata colorschememapping "
    "datastore latentstyles xmlnstbl mmathPr pgptbl private template operator category comment "
    "doccomm hlinkbase creatim revtim printim buptim atnid atnauthor atndate atnref atnicn atrfstart "
    "atrfend pnseclvl pntxta pntxtb oldcprops oldpprops company manager passwordhash userprops txe "
    "rxe bxe ixe mhtmltag picprop propname staticval upr".split()
)
#: Groups that a reader may pass over if it does not know them (``\*``), and that hold text.
KNOWN = frozenset(
    "shpinst nesttableprops ud htmltag formfield annotation shppict do dptxbxtext moMath moMathPara "
    "cs ds ts s ffl footnote header footer listtext pntext".split()
)
FLOWS = {
    "footnote": "note", "annotation": "comment", "shptxt": "box", "dptxbxtext": "box",
    "header": "header", "headerl": "header", "headerr": "header", "headerf": "header",
    "footer": "footer", "footerl": "footer", "footerr": "footer", "footerf": "footer",
}  # fmt: skip
INFO = {"title": "title", "author": "author", "subject": "subject", "keywords": "keywords"}
CHARACTERS = {
    "tab": "\t", "line": "\n", "lbr": "\n", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘",
    "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ", "qmspace": " ",
    "zwj": "\u200d", "zwnj": "\u200c", "ltrmark": "\u200e", "rtlmark": "\u200f",
}  # fmt: skip
SYMBOLS = {b"~": "\u00a0", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}", b"\t": "\t"}
#: Code pages of \fcharset, and of the document's own words for them; others have the document's.
CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "cp950",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251",
    222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
WORDS = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
PAGES = {936: "gb18030", 10000: "mac_roman", 65001: "utf-8", 1361: "johab", 20127: "cp1252", 28591: "cp1252"}
WIDE = frozenset(("cp932", "cp949", "johab", "gb18030", "cp950", "utf-8"))
SYMBOL_BULLETS = b"\xb7\xa7\xa8\xd8\xfc"


def code_page(number: int) -> str:
    """Return Python's name for a code page; that of Western Europe if it knows none."""
    name = PAGES.get(number, f"cp{number}")
    try:
        codecs.lookup(name)
    except LookupError:
        return "cp1252"
    return name
