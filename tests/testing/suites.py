"""Run a contract suite on a broken stage: which of its tests fail?"""

from __future__ import annotations

import inspect
from typing import Any

from _pytest.outcomes import Failed, Skipped


def failures(suite: type, *, only: str = "", **fixtures: Any) -> set[str]:
    """Return the names of a suite's tests that fail with the stages given; a function makes a fresh one each.

    Fixtures that are not given are the suite's own.
    """
    failed = set()
    for name in sorted(vars(suite) if suite.__mro__[1] is object else dir(suite)):
        if not name.startswith("test_") or only not in name:
            continue
        for more in _parameters(getattr(suite, name)):
            try:
                test = getattr(suite(), name)
                test(
                    **more,
                    **{
                        each: _value(suite, each, fixtures)
                        for each in inspect.signature(test).parameters
                        if each not in more
                    },
                )
            except Skipped:
                continue
            except (Exception, Failed):
                failed.add(name.removeprefix("test_"))
    return failed


def _parameters(test: Any) -> list[dict[str, Any]]:
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    return [{mark.args[0]: value} for mark in marks for value in mark.args[1]] or [{}]


def _value(suite: type, name: str, fixtures: dict[str, Any]) -> Any:
    if name in fixtures:
        value = fixtures[name]
        return value() if inspect.isfunction(value) and value.__name__ == "<lambda>" else value
    own = getattr(suite, name)
    return inspect.unwrap(getattr(own, "_fixture_function", own))(suite())
