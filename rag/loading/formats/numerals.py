"""Numbers of lists as the reader of an office document sees them: roman, letters, ordinals and more."""

from __future__ import annotations

from collections.abc import Callable

_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"),
    (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_LATIN = "abcdefghijklmnopqrstuvwxyz"
#: Alphabets and rows of signs, each repeated when it is used up (z, aa, bb), by their names in
#: ECMA-376, Part 1, 17.18.59 (ST_NumberFormat).
_ROWS = {
    "lowerLetter": _LATIN, "upperLetter": _LATIN.upper(),
    "russianLower": "абвгдежзиклмнопрстуфхцчшщыэюя", "russianUpper": "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЫЭЮЯ",
    "arabicAlpha": "أبتثجحخدذرزسشصضطظعغفقكلمنهوي", "hebrew2": "אבגדהוזחטיכלמנסעפצקרשת",
    "aiueoFullWidth": "アイウエオカキクケコサシスセソタチツテトナニヌネノ"
                      "ハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "iroha": "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセス",
    "ganada": "가나다라마바사아자차카타파하", "chosung": "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "ideographTraditional": "甲乙丙丁戊己庚辛壬癸", "ideographZodiac": "子丑寅卯辰巳午未申酉戌亥",
    "thaiLetters": "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ", "chicago": "*†‡§",
}  # fmt: skip
_SAME = {"aiueo": "aiueoFullWidth", "irohaFullWidth": "iroha"}
#: Other digits for the same places.
_DIGITS = {
    "decimalFullWidth": "０１２３４５６７８９", "decimalFullWidth2": "０１２３４５６７８９",
    "hindiNumbers": "०१२३४५६७८९", "thaiNumbers": "๐๑๒๓๔๕๖๗๘๙", "arabicIndic": "٠١٢٣٤٥٦٧٨٩",
    "ideographDigital": "〇一二三四五六七八九", "japaneseDigitalTenThousand": "〇一二三四五六七八九",
    "taiwaneseDigital": "○一二三四五六七八九", "koreanDigital": "영일이삼사오육칠팔구",
}  # fmt: skip
_COUNTED = {
    "japaneseCounting", "chineseCounting", "chineseCountingThousand", "taiwaneseCounting",
    "taiwaneseCountingThousand",
}  # fmt: skip


def numeral(value: int, form: str) -> str:
    """Write a number in one of Word's number formats; decimal where the format is not known.

    Parameters
    ----------
    value : int
        Negative numbers and zero are written in digits.
    form : str
        As `ST_NumberFormat` names it, e.g. ``"lowerRoman"``.

    Examples
    --------
    >>> [numeral(28, form) for form in ("upperRoman", "lowerLetter", "ordinal", "decimalZero")]
    ['XXVIII', 'bb', '28th', '28']
    """
    if value <= 0:
        return str(value)
    form = _SAME.get(form, form)
    if form in _ROWS:
        row = _ROWS[form]
        return row[(value - 1) % len(row)] * min((value - 1) // len(row) + 1, 20)
    if form in _DIGITS:
        return str(value).translate(str.maketrans("0123456789", _DIGITS[form]))
    if form in _COUNTED:
        return _counted(value)
    write = _OTHERS.get(form)
    return write(value) if write is not None else str(value)


def _roman(value: int) -> str:
    if value > 9999:
        return str(value)
    out = ""
    for size, letters in _ROMAN:
        out += letters * (value // size)
        value %= size
    return out


def _ordinal(value: int) -> str:
    ending = "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"


def _cardinal(value: int) -> str:
    if value > 999:
        return str(value)
    if value >= 100:
        rest = f" {_cardinal(value % 100)}" if value % 100 else ""
        return f"{_ONES[value // 100]} hundred{rest}"
    if value < 20:
        return _ONES[value]
    return _TENS[value // 10] + (f"-{_ONES[value % 10]}" if value % 10 else "")


def _ordinal_text(value: int) -> str:
    words = _cardinal(value)
    at = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[at:]
    ending = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return words[:at] + ending


def _counted(value: int) -> str:
    """Count in Chinese characters, to 9,999."""
    if value > 9999:
        return str(value)
    digits, out, gap = "零一二三四五六七八九", "", False
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, value = divmod(value, size)
        if digit:
            out += ("零" if gap and out else "") + digits[digit] + name
        gap = not digit
        if not value:
            break
    return out.removeprefix("一") if out.startswith("一十") else out


_OTHERS: dict[str, Callable[[int], str]] = {
    "lowerRoman": _roman,
    "upperRoman": lambda value: _roman(value).upper(),
    "ordinal": _ordinal,
    "cardinalText": lambda value: _cardinal(value).capitalize(),
    "ordinalText": lambda value: _ordinal_text(value).capitalize(),
    "decimalZero": lambda value: f"{value:02}",
    "hex": lambda value: f"{value:X}",
    "numberInDash": lambda value: f"- {value} -",
    "decimalEnclosedCircle": lambda value: chr(0x245F + value) if value <= 20 else str(value),
    "decimalEnclosedCircleChinese": lambda value: chr(0x245F + value) if value <= 20 else str(value),
    "decimalEnclosedFullstop": lambda value: f"{value}.",
    "decimalEnclosedParen": lambda value: f"({value})",
    "decimalHalfWidth": str,
}
