"""The encoding of a text's bytes: by its mark, as UTF-8, as declared, or else by which reading fits best."""

from __future__ import annotations

import contextlib
import re
from typing import NamedTuple

from rag.core.errors import LoadError
from rag.loading.formats import letters


class Decoded(NamedTuple):
    """A text, the encoding that it was read in, and what the user should know of that."""

    text: str
    encoding: str
    notes: list[str]


#: Byte order marks, the longer before those that they begin with.
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
)  # fmt: skip
#: What a binary file begins with, for the reason that a person is told.
_BINARY = (
    (b"\x89PNG", "a picture (PNG)"), (b"\xff\xd8\xff", "a picture (JPEG)"), (b"GIF8", "a picture (GIF)"),
    (b"II*\0", "a picture (TIFF)"), (b"MM\0*", "a picture (TIFF)"), (b"ID3", "a sound (MP3)"),
    (b"OggS", "a sound (Ogg)"), (b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"), (b"SQLite format 3", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an OLE file"),
)  # fmt: skip
_TAR = slice(257, 262)
#: How much of a file is looked at to tell whether it is text, and to compare readings.
_SAMPLE, _EXCERPT = 1 << 20, 3000
_CONTROLS = bytes((*range(1, 9), *range(14, 27), 127))

_WESTERN = ("en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "ca")
_EASTERN = ("pl", "cs", "sk", "hu", "sl", "hr", "ro", "de")
_CYRILLIC = ("ru", "uk", "bg", "sr", "be")
_BALTIC = ("lt", "lv", "et")
#: Encodings before Unicode: the languages that they are used for, and what a file must speak for them more
#: than for the first, in nats. Those of Windows lead, as on the web (WHATWG Encoding Standard).
_LEGACY: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("cp1252", _WESTERN, 0.0),
    ("cp1250", _EASTERN, 2.0), ("cp1251", _CYRILLIC, 2.0), ("cp1253", ("el",), 2.0),
    ("cp1254", ("tr",), 2.0), ("cp1255", ("he",), 2.0), ("cp1256", ("ar", "fa"), 2.0),
    ("cp1257", _BALTIC, 3.0), ("cp1258", ("vi",), 4.0), ("cp874", ("th",), 2.0),
    ("gb18030", ("zh",), 3.0), ("cp932", ("ja",), 3.0), ("euc_jp", ("ja",), 3.0),
    ("big5hkscs", ("zht",), 3.0), ("cp949", ("ko",), 3.0),
    ("iso8859_2", _EASTERN, 2.5), ("iso8859_15", _WESTERN, 4.0), ("iso8859_5", _CYRILLIC, 4.0),
    ("iso8859_7", ("el",), 3.0), ("iso8859_8", ("he",), 3.0), ("iso8859_6", ("ar",), 4.0),
    ("iso8859_13", _BALTIC, 4.0), ("koi8_r", ("ru",), 2.0), ("koi8_u", ("uk",), 3.0),
    ("cp437", _WESTERN, 6.0), ("cp850", _WESTERN, 5.0), ("cp852", _EASTERN, 6.0), ("cp866", _CYRILLIC, 4.0),
    ("mac_roman", _WESTERN, 4.0), ("mac_latin2", _EASTERN, 7.0), ("mac_cyrillic", _CYRILLIC, 7.0),
)  # fmt: skip
#: Of seven bits, with escapes before what is beyond ASCII.
_ESCAPES = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$B", "iso2022_jp_2"), (b"\x1b$@", "iso2022_jp_2"))


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Return a file's text; line ends and a byte order mark stay in it, a NUL becomes a space.

    By its byte order mark; as it declares, if its bytes bear that out; as UTF-8, also with a few bytes that
    are none; else in the encoding whose reading is the most probable (`letters.cost`).

    Parameters
    ----------
    declared : str, optional
        The encoding that the file names itself, in a format that has a place for that.

    Raises
    ------
    LoadError
        The bytes are no text.

    Examples
    --------
    >>> decode("Größe".encode())[:2]
    ('Größe', 'utf-8')
    """
    marked = _marked(data)
    if marked is not None:
        return marked
    head = data[:_SAMPLE]
    nuls, controls = head.count(0), len(head) - len(head.translate(None, _CONTROLS))
    if not nuls and controls * 100 <= len(head):
        found = _declared(data, declared) or _escaped(data) or _utf8(data)
        if found is not None:
            return found
    if nuls == len(head) or any(data.startswith(magic) for magic, _ in _BINARY) or data[_TAR] == b"ustar":
        raise _no_text(data)
    best = _best(data)
    if best.startswith("utf-16") or best.startswith("utf-32"):
        text = data.decode(best, "replace")
        if _strange(text):
            raise _no_text(data)
        return _wide(text, best, f"it has no byte order mark: read as {best}")
    if not nuls and (found := _declared(data, declared) or _utf8(data)) is not None:
        return found  # with controls, such as a printer's
    ends = len(head.rstrip(b"\0"))
    most = len(head) // 100 if nuls else len(head) // 50
    if (
        controls > most
        or head[:ends].count(0) * 3 > ends
        or (nuls and best != "utf-8" and controls * 500 > len(head))
    ):
        raise _no_text(data)
    rest = data.replace(b"\0", b" ") if nuls else data
    found = _declared(rest, declared) or _escaped(rest)
    if found is None and best == "utf-8":
        found = _utf8(rest, certain=True)
    if found is None:
        found = _read(rest.decode(best, "replace"), best, f"its encoding is a guess: {best}")
    return _without_nuls(found, data.count(0))


def decode_as(data: bytes, label: str) -> tuple[str, str] | None:
    """Return a text in the encoding that it is said to be in; None if it is not, or there is none."""
    label = label.strip().lower()
    for encoding in dict.fromkeys((_LABELS.get(label, label), label)):
        with contextlib.suppress(LookupError, UnicodeError, ValueError):
            return data.decode(encoding), encoding
    return None


#: What a declared encoding means in practice, as browsers have it (the WHATWG's Encoding Standard).
_LABELS = {
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252", "iso8859-1": "cp1252",
    "iso_8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "l1": "cp1252",
    "x-user-defined": "cp1252", "x-cp1252": "cp1252", "x-cp1250": "cp1250", "x-cp1251": "cp1251",
    "iso-8859-9": "cp1254", "latin5": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874",
    "windows-874": "cp874", "dos-874": "cp874", "iso-8859-8-i": "iso8859_8", "iso-8859-8-e": "iso8859_8",
    "logical": "iso8859_8", "koi": "koi8_r", "koi8": "koi8_r", "koi8-ru": "koi8_u",
    "x-mac-roman": "mac_roman", "x-mac-cyrillic": "mac_cyrillic", "x-mac-ukrainian": "mac_cyrillic",
    "gb2312": "gb18030", "gb_2312-80": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "cp936": "gb18030",
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932", "ms_kanji": "cp932",
    "windows-31j": "cp932", "x-euc-jp": "euc_jp", "ks_c_5601-1987": "cp949", "euc-kr": "cp949",
    "windows-949": "cp949", "big5": "big5hkscs", "x-x-big5": "big5hkscs", "cp950": "big5hkscs",
    "unicode-1-1-utf-8": "utf-8", "x-unicode20utf8": "utf-8",
}  # fmt: skip
#: A declaration that could be read as ASCII is of an encoding that leaves ASCII as it is.
_PROBE = b"<?xml a=\"b\" c='+AGE-' \\u0041~{}[]^|`@#$!>\r\n"


def _marked(data: bytes) -> Decoded | None:
    if data.startswith(b"\xef\xbb\xbf"):
        found = _utf8(data.replace(b"\0", b" "), certain=True)
        return found and _without_nuls(found, data.count(0))
    for mark, encoding in _MARKS:
        if not data.startswith(mark):
            continue
        text = data.decode(encoding, "replace")
        if encoding.startswith("utf-32") and "\ufffd" in text[:_EXCERPT]:
            continue
        if not _strange(text):
            return _wide(text, encoding, "")
    return None


def _strange(text: str) -> bool:
    """Tell whether a text holds more that is no character than damage explains."""
    excerpt = text[:_EXCERPT]
    strange = sum(not (char.isprintable() or char.isspace() or char in "\0\ufeff") for char in excerpt)
    return strange > 1 and strange * 20 > len(excerpt)


def _wide(text: str, encoding: str, note: str) -> Decoded:
    found = _read(text.replace("\0", " "), encoding, note)
    return _without_nuls(found, text.count("\0"))


def _without_nuls(found: Decoded, count: int) -> Decoded:
    if count:
        found.notes.append(f"it holds {count} NUL characters: read as spaces")
    return found


def _utf8(data: bytes, *, certain: bool = False) -> Decoded | None:
    """Return the text as UTF-8 if it is, or if so little is not that it can be nothing else."""
    try:
        return Decoded(data.decode("utf-8"), "utf-8", [])
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    real = data.count(b"\xef\xbf\xbd")
    bad = text.count("\ufffd") - real
    good = _beyond_ascii(text) - bad
    cut = _CUT.search(data[-4:])
    if certain or (good and good >= 3 * (bad - bool(cut))):
        return _with_lines(data, text, bad)
    return None


def _beyond_ascii(text: str) -> int:
    """Return how many characters are not ASCII."""
    return len(text) - len(text.encode("ascii", "ignore"))


#: A character that the end of the file cuts off.
_CUT = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")


def _with_lines(data: bytes, text: str, bad: int) -> Decoded:
    """Return UTF-8 with what is none replaced; lines of another encoding, as logs have them, in theirs."""
    lines = data.split(b"\n")
    read = text.split("\n")
    others = [
        number for number, line in enumerate(read)
        if "\ufffd" in line and _beyond_ascii(line) == line.count("\ufffd") and number < len(lines)
    ] if len(read) == len(lines) else []  # fmt: skip
    others = [number for number in others if not _CUT.search(lines[number]) or number < len(lines) - 1]
    if others:
        joined = b"\n".join(lines[number] for number in others)
        excerpt = _excerpt(joined)
        encoding, fit = _legacy(excerpt)
        words = sum(map(str.isalpha, excerpt.decode(encoding, "replace")))
        if words > 2 and fit + _DOUBT < letters.cost(excerpt.decode("utf-8", "replace"), letters.languages()):
            for number in others:
                read[number] = lines[number].decode(encoding, "replace")
            text = "\n".join(read)
            note = f"{len(others)} of its {len(lines)} lines are not UTF-8: read as {encoding}, a guess"
            return _read(text, "utf-8", note)
    return _read(text, "utf-8", "", bad)


#: What one wrong byte costs less than as a letter of another encoding, in nats.
_DOUBT = 4.0


def _read(text: str, encoding: str, note: str = "", bad: int | None = None) -> Decoded:
    """Return a text with a note of how it was read and how many of its bytes were replaced."""
    notes = [note] if note else []
    lost = text.count("\ufffd") if bad is None else bad
    if lost:
        what = "byte or cut character is" if lost == 1 else "bytes or cut characters are"
        notes.append(f"{lost} {what} not {encoding}: replaced by U+FFFD")
    return Decoded(text, encoding, notes)


def _escaped(data: bytes) -> Decoded | None:
    if b"\x1b$" in data[:_SAMPLE]:
        for escape, encoding in _ESCAPES:
            if escape in data:
                found = _read(data.decode(encoding, "replace"), encoding)
                if found.text.count("\ufffd") * 20 <= len(found.text):
                    return found
    return None


def _declared(data: bytes, label: str | None) -> Decoded | None:
    """Return a text as it is declared, if its bytes bear that out."""
    if label is None:
        return None
    label = label.strip().lower()
    encoding = _LABELS.get(label, label)
    try:
        if _PROBE.decode(encoding) != _PROBE.decode("ascii"):
            return None
        text = data.decode(encoding, "replace")
    except (LookupError, UnicodeError, ValueError):
        return None
    if text.isascii():
        return Decoded(text, encoding, [])
    try:
        as_utf8 = data.decode("utf-8")
    except UnicodeDecodeError:
        lost = text.count("\ufffd")
        if lost * 20 > _beyond_ascii(text) and lost > 1:
            return None
        return _read(text, encoding) if encoding not in ("utf-8", "utf8") else _utf8(data)
    if encoding in ("utf-8", "utf8"):
        return Decoded(as_utf8, "utf-8", [])
    sample = _excerpt(data)
    everything = letters.languages()
    if letters.cost(sample.decode(encoding, "replace"), everything) < letters.cost(
        sample.decode("utf-8", "replace"), everything
    ):
        return _read(text, encoding)
    return Decoded(as_utf8, "utf-8", [f"it declares {label} and is UTF-8"])


#: What was never written, as in a file that a crash has cut: no character has so many NULs.
_NULS = re.compile(rb"(?:\0\0\0\0)+")
#: What a well-formed sequence says for UTF-8, in nats: it seldom comes about by chance.
_UTF8_SEQUENCE = 4.0


def _best(data: bytes) -> str:
    """Return the encoding whose reading is the most probable."""
    data = _NULS.sub(b"", data[:_SAMPLE])
    sample, wide = _excerpt(data), data[:_EXCERPT]
    everything = letters.languages()
    best, least = _legacy(sample)
    text = sample.decode("utf-8", "replace")
    bonus = _UTF8_SEQUENCE * (_beyond_ascii(text) - text.count("\ufffd"))
    if letters.BROKEN * text.count("\ufffd") - bonus <= least:
        as_utf8 = letters.cost(text, everything) - bonus
        if as_utf8 <= least:
            best, least = "utf-8", as_utf8
    if wide != sample:  # readings are compared of the same bytes
        least = letters.cost(wide.decode(best, "replace"), everything)
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        text = wide.decode(encoding, "replace")
        if text.count("\ufffd") * 20 > len(text) + 20 or not _worth(wide, encoding, best):
            continue
        spent = 1.0 + letters.cost(text, everything)
        if spent < least:
            best, least = encoding, spent
    return best


def _worth(data: bytes, encoding: str, best: str) -> bool:
    """Tell whether an encoding may be better than the best yet, by the first bytes."""
    begin, everything = data[:_FIRST], letters.languages()
    if len(data) <= 2 * _FIRST:
        return True
    costs = [letters.cost(begin.decode(name, "replace"), everything) for name in (encoding, best)]
    return costs[0] < costs[1] + _MARGIN


#: How much better a reading may become behind its first bytes, in nats.
_MARGIN = 50.0


def _legacy(sample: bytes) -> tuple[str, float]:
    """Return the encoding before Unicode whose reading is the most probable, and what that costs."""
    readings: dict[str, tuple[str, tuple[str, ...], float]] = {}
    for encoding, languages, prior in _LEGACY:
        text = sample.decode(encoding, "replace")
        if text in readings:  # the first of those that read the same
            name, others, least = readings[text]
            readings[text] = name, (*others, *languages), min(least, prior)
        else:
            readings[text] = encoding, languages, prior
    kept = [(prior, text, languages, name) for text, (name, languages, prior) in readings.items()]
    if len(sample) > 2 * _FIRST:
        begin = _excerpt(sample, _FIRST)
        costs = {
            name: prior + letters.cost(begin.decode(name, "replace"), dict.fromkeys(languages))
            for prior, _, languages, name in kept
        }
        likely = set(sorted(costs, key=lambda name: costs[name])[:_LIKELY])
        kept = [reading for reading in kept if reading[3] in likely]
    fits = [(prior + letters.cost(text, dict.fromkeys(of)), name) for prior, text, of, name in kept]
    spent, best = min(fits, key=lambda fit: fit[0])
    return best, spent


#: Bytes that all readings are compared by, and how many of the best by all.
_FIRST, _LIKELY = 400, 6


def _excerpt(data: bytes, most: int = _EXCERPT) -> bytes:
    """Return the lines that hold more than ASCII, as far as they are needed to compare readings."""
    if len(data) <= most:
        return data
    out, size = [], 0
    for match in _LINES.finditer(data[:_SAMPLE]):
        line = match[0]
        first = next(at for at, code in enumerate(line) if code > 127)
        start = max(line.rfind(b" ", 0, first), 0)  # no character's second byte is a space
        out.append(line[start : start + most // 2])
        size += len(out[-1]) + 1
        if size >= most:
            break
    return b"\n".join(out)[:most]


_LINES = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")


def _no_text(data: bytes) -> LoadError:
    what = next((what for magic, what in _BINARY if data.startswith(magic)), "a binary file")
    return LoadError(f"is {what}", "leave it out, or convert it to text")
