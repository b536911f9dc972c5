"""A caller's filter from a token's claims: a template such as ``department in {cognito:groups}``.

The template is parsed once, with a mark where each claim stands; each claim then takes its mark's place as a
value in the parsed filter. No claim's text is ever parsed, so none can end a literal and go on as a filter.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rag.core.errors import AuthError, ConfigError, WhereError
from rag.index.filters.parse import parse
from rag.index.filters.where import And, Not, Or, Test, Where

_CLAIM = re.compile(r"(\bin\s*)?\{([^{}]+)\}")
#: Most characters of a claim, and values of a claim that is a list.
_MOST_CLAIM, _MOST_VALUES = 1000, 200


class ClaimFilter:
    """Makes filters of claims.

    Parameters
    ----------
    template : str
        A filter in the string form, with names of claims in braces where values stand; after ``in`` and
        ``not in`` the claim is a list, or one text.

    Raises
    ------
    ConfigError
        It is no filter, or a claim stands inside of quotes or as the name of a field.

    Examples
    --------
    >>> print(ClaimFilter("department in {groups}").bound({"groups": ["legal", "hr"]}).to_string())
    department in ['legal', 'hr']
    """

    def __init__(self, template: str) -> None:
        self._claims: dict[str, str] = {}
        prefix = f"claim-{secrets.token_hex(8)}-"

        def mark(match: re.Match[str]) -> str:
            name = f"{prefix}{len(self._claims)}"
            self._claims[name] = match[2]
            return f"{match[1]}['{name}']" if match[1] else f"'{name}'"

        try:
            if re.match(r"\s*\{\s*[\"']", template):
                raise WhereError("write it in the string form, such as department in {groups}")
            self._where = parse(_CLAIM.sub(mark, template))
        except WhereError as error:
            text = str(error)
            for name, claim in self._claims.items():
                text = text.replace(f"['{name}']", f"{{{claim}}}").replace(f"'{name}'", f"{{{claim}}}")
            advice = ": claims stand without quotes" if re.search(r"['\"]\{", template) else ""
            raise ConfigError(f"the filter {template!r} of callers: {text}{advice}") from None
        self._check(template, prefix)

    def _check(self, template: str, prefix: str) -> None:
        """Refuse a template of which a claim is not a whole value: it would be replaced in part, or not."""
        whole = [value for test in _tests(self._where) for value in _values(test) if value in self._claims]
        marks = [text for test in _tests(self._where) for text in (test.field, *map(str, _values(test)))]
        lost = set(self._claims).difference(whole)
        if lost or sum(text.count(prefix) for text in marks) != len(whole):
            name = self._claims[min(lost)] if lost else next(iter(self._claims.values()))
            raise ConfigError(
                f"the filter {template!r} of callers: {{{name}}} is no value of its own: write it without "
                "quotes, as department == {claim} or department in {claim}"
            )

    @property
    def sample(self) -> Where:
        """The filter with a text for each claim, to check its fields by."""
        return self._where

    def bound(self, claims: Mapping[str, Any]) -> Where:
        """Return the filter of a caller.

        Raises
        ------
        AuthError
            A claim is missing, empty, too long, or of a kind that is no value.
        """
        return _replaced(self._where, lambda test: self._filled(test, claims))

    def _filled(self, test: Test, claims: Mapping[str, Any]) -> Test:
        if not isinstance(test.value, tuple):
            name = self._claims.get(test.value) if isinstance(test.value, str) else None
            return test if name is None else replace(test, value=_scalar(claims.get(name)))
        if len(test.value) == 1 and (name := self._claims.get(test.value[0])) is not None:
            value = claims.get(name)
            values = value if isinstance(value, list) else [value]
            if not 0 < len(values) <= _MOST_VALUES:
                raise AuthError("a claim is no list of values")
            return replace(test, value=tuple(map(_scalar, values)))
        filled = (
            _scalar(claims.get(self._claims[each]))
            if isinstance(each, str) and each in self._claims
            else each
            for each in test.value
        )
        return replace(test, value=tuple(filled))


def _scalar(value: object) -> object:
    """Return a claim that can be a value. An empty text is none: every text starts with it."""
    if isinstance(value, str):
        fits = 0 < len(value) <= _MOST_CLAIM
    elif isinstance(value, bool | int):
        fits = abs(value) < 1 << 63
    else:
        fits = isinstance(value, float) and math.isfinite(value)
    if not fits:
        raise AuthError("a claim is missing, or no value")
    return value


def _values(test: Test) -> tuple[Any, ...]:
    return test.value if isinstance(test.value, tuple) else (test.value,)


def _tests(where: Where) -> Iterator[Test]:
    """Yield the tests of a filter."""
    found: list[Test] = []

    def keep(test: Test) -> Test:
        found.append(test)
        return test

    _replaced(where, keep)
    yield from found


def _replaced(where: Where, change: Callable[[Test], Test]) -> Where:
    if isinstance(where, And | Or):
        return type(where)(tuple(_replaced(part, change) for part in where.parts))
    if isinstance(where, Not):
        return Not(_replaced(where.part, change))
    assert isinstance(where, Test)
    return change(where)
