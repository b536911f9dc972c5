"""Which language a text is in, by its script and its most frequent function words.

It tells languages apart where that is sure, and says nothing where it is not: of short texts, names, numbers
and code it knows nothing. The words are the articles, pronouns, prepositions and conjunctions of each
language, as any grammar lists them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from rag.core.text import words

_WORDS = {
    "de": "der die das und ist nicht ein eine einen dem den des mit von zu für auf im sich als auch bei nach "
          "aus wird werden sind oder wie aber wenn nur noch über kann muss müssen haben hat dass es sie er",
    "en": "the and is not a an of to in for on with as by at from that this it are be or but if can must have "
          "has was were which who when their they you your may will should there than",
    "es": "el la los las y es no un una de del que en por con para se al como su sus más pero o son está si "
          "lo le ha han ser cuando sobre también hasta hay",
    "fr": "le la les et est pas un une des du de que en pour avec dans sur au aux par ce cette ces il elle "
          "sont ou mais se son sa ses qui ne plus être peut doit vous nous",
    "it": "il lo la gli le e è non un una di del della che in per con su al alla come si sono ma o più da "
          "dei delle nel nella questo questa può deve essere ha hanno",
    "nl": "de het een en is niet van in op te met voor aan dat die bij als ook door naar uit of maar worden "
          "zijn wordt heeft hebben kan moet er nog om ze hij",
    "pl": "i w z na do nie się jest to że o od po za dla przez jak są lub oraz być może które który która "
          "przed przy tylko także",
    "pt": "o a os as e é não um uma de do da que em por com para se ao à como mais mas ou são está dos das "
          "no na pelo pela ser pode deve seu sua também",
    "sv": "och är inte en ett att det som på av för med till den de om har i från eller men kan ska så vid "
          "hos när sin sina också bara",
}  # fmt: skip
_OF = {language: frozenset(text.split()) for language, text in _WORDS.items()}
#: How a script is named in Unicode's character names, and the language that it is read as.
_SCRIPTS = (("HIRAGANA", "ja"), ("KATAKANA", "ja"), ("HANGUL", "ko"), ("CJK", "zh"),
            ("CYRILLIC", "ru"), ("ARABIC", "ar"), ("GREEK", "el"), ("HEBREW", "he"), ("DEVANAGARI", "hi"), ("THAI", "th"))  # fmt: skip
#: The fewest function words of a language, and how many times those of the next one, that make it sure.
_FEWEST, _CLEAR = 3, 1.5
#: The share of a text's letters that must be of a script.
_OF_SCRIPT = 0.3
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|`[^`]*`|\S+@\S+|https?://\S+')


def language_of(text: str) -> str | None:
    """Return the ISO 639-1 code of a text's language; None where that is not sure.

    Cyrillic is taken for Russian, Arabic script for Arabic, Han characters without kana for Chinese.

    Parameters
    ----------
    text : str
        What stands in quotation marks or is code is left out.

    Examples
    --------
    >>> language_of("The policy holds for all staff who are in the office.")
    'en'
    >>> language_of("Die Regel gilt für alle, die im Büro sind."), language_of("SEV-1: 28")
    ('de', None)
    """
    text = _QUOTED.sub(" ", text)
    letters = [each for each in text if each.isalpha() and ord(each) > 0x2AF]
    total = sum(each.isalpha() for each in text)
    if letters and len(letters) >= _OF_SCRIPT * total:
        names = Counter(_script(each) for each in letters)
        kana = names["ja"]
        found = "ja" if kana and kana >= 0.1 * len(letters) else names.most_common(1)[0][0]
        return found or None
    said = [word.casefold() for word in words(text)]
    counts = sorted(((sum(word in of for word in said), name) for name, of in _OF.items()), reverse=True)
    (best, name), (second, _) = counts[0], counts[1]
    return name if best >= _FEWEST and best >= _CLEAR * max(second, 1) else None


def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    return next((language for script, language in _SCRIPTS if name.startswith(script)), "")
