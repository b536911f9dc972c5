"""Characters that a reader, or a model, does not see."""

from __future__ import annotations

#: Characters that are drawn as nothing, as the inside of a regular expression's class: Unicode's
#: Default_Ignorable_Code_Point (DerivedCoreProperties.txt, Unicode 15.1) and the interlinear marks.
INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
