"""Numbers as a spreadsheet shows them: number formats of ECMA-376, Part 1, 18.8.30 and 18.8.31."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

from rag.loading.formats.date_format import date_text

#: The formats that have a number and no code in the file. Those that follow the machine's settings
#: (14, 22, and the Asian ones) are written as ISO 8601, which no reader takes for another date.
BUILT_IN = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: '"$"#,##0_);\\("$"#,##0\\)',
    6: '"$"#,##0_);[Red]\\("$"#,##0\\)', 7: '"$"#,##0.00_);\\("$"#,##0.00\\)',
    8: '"$"#,##0.00_);[Red]\\("$"#,##0.00\\)', 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm",
    37: "#,##0_);(#,##0)", 38: "#,##0_);[Red](#,##0)",
    39: "#,##0.00_);(#,##0.00)", 40: "#,##0.00_);[Red](#,##0.00)", 41: "#,##0_);(#,##0);\"-\"_)",
    42: '"$"#,##0_);("$"#,##0);"-"_)', 43: '#,##0.00_);(#,##0.00);"-"_)',
    44: '"$"#,##0.00_);("$"#,##0.00);"-"_)', 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0",
    49: "@", 59: "0", 60: "0.00", 61: "#,##0", 62: "#,##0.00", 67: "0%", 68: "0.00%", 69: "# ?/?",
    70: "# ??/??",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((32, 33), "h:mm:ss"), **dict.fromkeys((34, 35, 55, 56), "yyyy-mm-dd"),
}  # fmt: skip

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_(?P<space>.)|\*(?P<fill>.)|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<general>General)|(?P<half>AM/PM|A/P|上午/下午)|(?P<exponent>E[+-])|(?P<date>y+|m+|d+|h+|s+|e+|g+|b+)"
    r"|(?P<digit>[0#?])|(?P<mark>[.,%/@])|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_ELAPSED = re.compile(r"(h+|m+|s+)\Z", re.IGNORECASE)
_SECTION = re.compile(r'(?:"[^"]*"?|\\.|_.|\*.|\[[^\]]*\]|[^;"\\_*\[]|[\[_*\\])*', re.DOTALL)
_SIMPLE = re.compile(r"(#,##)?0(\.0{1,10})?(%)?")
_STEPS = [Decimal(1).scaleb(-places) for places in range(11)]
#: Formats longer than any that Excel writes (255 characters) are not read.
_LONGEST = 1000


class Token(NamedTuple):
    """A part of a format: its kind, as the groups of `_TOKEN` are named, and its text."""

    kind: str
    text: str


class _Section(NamedTuple):
    tokens: tuple[Token, ...]
    condition: tuple[str, float] | None
    system: str
    locale: str


def format_number(value: float, code: str, *, since_1904: bool = False) -> str:
    """Return a number as a cell of that format shows it; empty where the format hides it.

    Parameters
    ----------
    value : float
        Dates are days, times their fractions.
    code : str
        The format's code, in the English form that files hold.
    since_1904 : bool
        Days count from 1904, as in workbooks that began on a Macintosh.

    Examples
    --------
    >>> [format_number(0.075, "0.0%"), format_number(1.5, "[h]:mm"), format_number(1234, "00000")]
    ['7.5%', '36:00', '01234']
    """
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    simple = _simple(code)
    if simple is not None and abs(value) < 1e15:
        return _plain(value, *simple)
    section, negative = _chosen(_sections(code), value)
    if section is None:
        return general(value)
    size = abs(value)
    if section.system or any(token.kind in ("date", "elapsed") for token in section.tokens):
        if value < 0:
            return general(value)
        return date_text(
            size, section.tokens, since_1904=since_1904, system=section.system, locale=section.locale
        ) or general(value)
    with localcontext() as context:
        context.prec = 400
        text, zero = _number(size, section.tokens)
    return " ".join(("-" * (negative and not zero) + text).split())


def format_text(value: str, code: str) -> str:
    """Return a text as a cell of that format shows it."""
    sections = _sections(code)
    if not sections:
        return value
    last = sections[-1]
    if len(sections) < 4 and not any(token.text == "@" and token.kind == "mark" for token in last.tokens):
        return value
    parts = (
        value if token.kind == "mark" and token.text == "@" else _literal(token) for token in last.tokens
    )
    return "".join(parts) if len(last.tokens) != 1 or last.tokens[0].kind != "general" else value


def is_date(code: str) -> bool:
    """Tell whether a format shows numbers as dates or times."""
    sections = _sections(code)
    return bool(sections) and any(token.kind in ("date", "elapsed") for token in sections[0].tokens)


def is_percent(code: str) -> bool:
    """Tell whether a format shows numbers as percentages."""
    sections = _sections(code)
    return bool(sections) and Token("mark", "%") in sections[0].tokens


def general(value: float) -> str:
    """Return a number in the format General, with the 15 digits that spreadsheets keep."""
    text = f"{value:.15g}"
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    if -10 < int(exponent) < 21:
        return f"{Decimal(text):f}"
    return f"{mantissa}E{int(exponent):+03}"


@functools.lru_cache(maxsize=2048)
def _sections(code: str) -> tuple[_Section, ...]:
    if code.lower() == "general" or not code or len(code) > _LONGEST:
        return ()
    parts: list[str] = []
    at = 0
    while at <= len(code) and len(parts) < 4:
        match = _SECTION.match(code, at)
        assert match is not None  # it matches the empty text, too
        parts.append(match.group())
        at = match.end() + 1
    return tuple(map(_section, parts))


def _section(code: str) -> _Section:
    tokens: list[Token] = []
    condition, system, language = None, "", ""
    for match in _TOKEN.finditer(code):
        kind = str(match.lastgroup)
        text = match.group(kind)
        if kind == "bracket":
            condition_text = _CONDITION.match(text)
            if condition_text:
                condition = (condition_text[1], float(condition_text[2]))
            elif text.startswith("$"):
                symbol, _, locale = text[1:].partition("-")
                tokens += [Token("quoted", symbol)] * bool(symbol)
                language = locale or language
                system = {"F800": "date", "F400": "time"}.get(locale.upper(), system)
            elif _ELAPSED.match(text):
                tokens.append(Token("elapsed", text.lower()))
        elif kind == "fill":
            pass
        elif kind == "space":
            tokens.append(Token("quoted", " "))
        elif kind == "date":
            tokens.append(Token(kind, text.lower()))
        else:
            tokens.append(Token("quoted" if kind in ("escaped", "other") else kind, text))
    if not any(token.kind in ("date", "elapsed") and token.text[0] not in "ebg" for token in tokens):
        # Letters that stand for parts of dates only beside others, e.g. the E of "0E" or of a word.
        digits = any(token.kind == "digit" for token in tokens)
        tokens = [Token("quoted", t.text) if digits and t.kind == "date" else t for t in tokens]
    return _Section(tuple(tokens), condition, system, language)


@functools.lru_cache(maxsize=2048)
def _simple(code: str) -> tuple[int, bool, bool] | None:
    """Return the places, grouping and percent of one of the formats that most cells have."""
    match = _SIMPLE.fullmatch(code)
    return None if match is None else (len(match[2] or ".") - 1, bool(match[1]), bool(match[3]))


def _plain(value: float, places: int, grouped: bool, percent: bool) -> str:
    shown = Decimal(f"{value * 100 if percent else value:.15g}").quantize(_STEPS[places], ROUND_HALF_UP)
    text = f"{shown:,f}" if grouped else f"{shown:f}"
    return (text if shown else text.lstrip("-")) + "%" * percent


def _chosen(sections: Sequence[_Section], value: float) -> tuple[_Section | None, bool]:
    """Return the section that shows a number, and whether a minus goes before what it writes."""
    numeric = list(sections[:3])
    if sections and len(sections) < 4 and Token("mark", "@") in sections[-1].tokens:
        numeric.pop()  # the last one is for texts
    if not numeric:
        return None, False
    if len(numeric) == 1 and numeric[0].condition is None:
        return numeric[0], value < 0
    for at, section in enumerate(numeric):
        condition = section.condition
        if condition is None:
            first = (">=", 0.0) if len(numeric) < 3 else (">", 0.0)
            condition = (first, ("<", 0.0), ("<>", float("inf")))[at]
            if at == 1 and len(numeric) == 2 and numeric[0].condition is not None:
                condition = ("<>", float("inf"))
        if _holds(value, *condition):
            only_negative = condition[0] in ("<", "<=") and condition[1] <= 0
            return section, value < 0 and not only_negative
    return None, False


def _holds(value: float, relation: str, bound: float) -> bool:
    return {
        "<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound,
        "=": value == bound, "<>": value != bound,
    }[relation]  # fmt: skip


def _literal(token: Token) -> str:
    if token.kind in ("digit", "date", "elapsed", "general", "exponent"):
        return ""
    return token.text


def _number(size: float, tokens: Sequence[Token]) -> tuple[str, bool]:
    """Return a positive number in a section's form, and whether nothing but zeros is left of it."""
    if any(token.kind == "general" for token in tokens):
        return "".join(general(size) if t.kind == "general" else _literal(t) for t in tokens), size == 0
    value = Decimal(f"{size:.15g}") * 100 ** sum(token == ("mark", "%") for token in tokens)
    digits = [at for at, token in enumerate(tokens) if token.kind == "digit"]
    if not digits:
        if any(token == ("mark", "@") for token in tokens):
            return "".join(general(size) if t == ("mark", "@") else _literal(t) for t in tokens), size == 0
        return "".join(map(_literal, tokens)), False
    exponent = next((at for at, token in enumerate(tokens) if token.kind == "exponent"), None)
    if exponent is not None:
        return _scientific(value, tokens, exponent), value == 0
    slash = next((at for at, t in enumerate(tokens) if t == ("mark", "/") and digits[0] < at), None)
    if slash is not None and slash + 1 < len(tokens):
        return _fraction(value, tokens, slash), value == 0
    return _decimal(value, tokens)


def _decimal(value: Decimal, tokens: Sequence[Token]) -> tuple[str, bool]:
    point = next((at for at, token in enumerate(tokens) if token == ("mark", ".")), len(tokens))
    whole = [at for at, token in enumerate(tokens[:point]) if token.kind == "digit"]
    part = [at for at in range(point, len(tokens)) if tokens[at].kind == "digit"]
    last = whole[-1] if whole else point - 1
    commas = [at for at, token in enumerate(tokens) if token == ("mark", ",")]
    scale = 0
    for at in range(last + 1, len(tokens)):  # commas right behind the digits divide by 1000 each
        if at in commas:
            scale += 1
        else:
            break
    tail = (part or whole or [-1])[-1] + 1
    while part and tail < len(tokens) and tail in commas:
        scale, tail = scale + 1, tail + 1
    grouped = any(whole[0] < at < last for at in commas) if whole else False
    value = (value / 1000**scale).quantize(Decimal(1).scaleb(-len(part)), ROUND_HALF_UP)
    left, _, right = f"{value:f}".partition(".")
    left = left.lstrip("0")
    out = [""] * len(tokens)
    count = 0
    for number, at in enumerate(reversed(whole)):
        first = number == len(whole) - 1
        for digit in reversed(left) if first else left[-1:]:
            out[at] = digit + ("," if grouped and count and not count % 3 else "") + out[at]
            count += 1
        if not left and tokens[at].text != "#":
            out[at] = {"0": "0", "?": " "}[tokens[at].text] + (
                "," if grouped and count and not count % 3 else ""
            )
            count += 1
        left = "" if first else left[:-1]
    kept = False
    for at, digit in reversed(list(zip(part, right, strict=True))):
        kept = kept or digit != "0" or tokens[at].text == "0"
        out[at] = digit if kept else {"?": " "}.get(tokens[at].text, "")
    for at, token in enumerate(tokens):
        if token.kind != "digit":
            out[at] = "" if at in commas and (not whole or at > whole[0] or grouped) else _literal(token)
    if not whole and left and point < len(tokens):
        out[point] = left + out[point]  # ".00" shows what stands before the point, too
    return "".join(out), value == 0


def _scientific(value: Decimal, tokens: Sequence[Token], at: int) -> str:
    point = next((n for n, token in enumerate(tokens[:at]) if token == ("mark", ".")), at)
    wide = max(sum(token.kind == "digit" for token in tokens[:point]), 1)
    places = sum(token.kind == "digit" for token in tokens[point:at])
    power = value.adjusted() if value else 0
    power -= power % wide
    mantissa = value.scaleb(-power)
    if mantissa.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) >= 10**wide:
        power += wide
        mantissa = value.scaleb(-power)
    behind = [n for n in range(at + 1, len(tokens)) if tokens[n].kind == "digit"]
    sign = "-" if power < 0 else "+" if tokens[at].text.endswith("+") else ""
    end = behind[-1] + 1 if behind else at + 1
    rest = "".join(map(_literal, tokens[end:]))
    return f"{_decimal(mantissa, tokens[:at])[0].strip()}E{sign}{abs(power):0{len(behind)}}{rest}"


def _fraction(value: Decimal, tokens: Sequence[Token], slash: int) -> str:
    below = slash + 1
    while below < len(tokens) and (tokens[below].kind == "digit" or tokens[below].text.isdecimal()):
        below += 1
    denominator = "".join(token.text for token in tokens[slash + 1 : below])
    above = slash
    while above and tokens[above - 1].kind == "digit":
        above -= 1
    whole_places = [at for at in range(above) if tokens[at].kind == "digit"]
    whole = int(value) if whole_places else 0
    exact = Fraction(value - whole)
    fixed = denominator.replace("?", "").replace("#", "")
    if fixed.strip("0"):
        bottom = int(fixed)
        top = int((exact * bottom + Fraction(1, 2)).__floor__())
    else:
        near = exact.limit_denominator(10 ** min(len(denominator) or 1, 7) - 1)
        top, bottom = near.numerator, near.denominator
    if whole_places and top == bottom:
        whole, top = whole + 1, 0
    before = "".join(map(_literal, tokens[: whole_places[0] if whole_places else above]))
    after = "".join(map(_literal, tokens[below:]))
    if not whole_places:
        return f"{before}{top}/{bottom}{after}"
    shown = f"{whole}" if whole or not top else ""
    return f"{before}{shown}{f' {top}/{bottom}' if top else ''}{after}"
