"""Characters that a reader, or a model, does not see, or takes for others."""

from __future__ import annotations

#: Characters that are drawn as nothing, as the inside of a regular expression's class: Unicode's
#: Default_Ignorable_Code_Point (DerivedCoreProperties.txt, Unicode 15.1) and the interlinear marks.
INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)

#: Brackets that look like ``<`` (Unicode's confusables.txt 15.1, and its compatibility forms).
LESS_THAN = "<\uff1c\ufe64\u02c2\u1438\u2039\u2329\u276e\u27e8\u3008\U0001d236"
#: Cyrillic, Greek and Armenian lower-case letters to the Latin ones that they look like, or that their
#: capitals look like (the same table).
LATIN = str.maketrans(
    "\u0430\u0435\u043e\u0441\u0456\u0455\u0501\u051b\u051d\u0442\u043c"  # Cyrillic
    "\u03b1\u03b5\u03bf\u03b9\u03c5\u03c4\u03bc\u03bd\u03b7"  # Greek
    "\u0578\u057d\u0585\u0131",  # Armenian, and the dotless i
    "aeocisdqwtmaeoiutmnnnuoi",
)
