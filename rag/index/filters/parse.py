"""Reading a filter in any notation into the algebra of `rag.index.filters.where`, which prints them all.

Besides ``rag.field`` expressions there are three:

- the string form, a safe subset of Python expressions, parsed and never evaluated:
  ``"year >= 2023 and department in ('legal', 'security') and 'gdpr' in tags"``;
- Bedrock Knowledge Bases' RetrievalFilter: ``{"andAll": [{"equals": {"key": ..., "value": ...}}]}``;
- LangChain's dict form: ``{"department": "legal", "year": {"$gte": 2023}}``.
"""

from __future__ import annotations

import ast
import datetime as dt
import json
import threading
from collections.abc import Mapping
from typing import Any

from rag.core.errors import WhereError
from rag.core.values import shown
from rag.index.filters.operators import (
    BEDROCK,
    CONSTANTS,
    FUNCTIONS,
    LANGCHAIN,
    LANGCHAIN_MORE,
    near_operator,
)
from rag.index.filters.where import And, Not, Or, Test, Where, field, several

WhereLike = Where | str | Mapping[str, Any]

_PYTHON: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
#: Before Python 3.11.8 and 3.12.2 threads that parse at once may fail with a SystemError (CPython
#: issue 106905).
_PARSING = threading.Lock()


def parse(where: WhereLike) -> Where:
    """Read a filter in any notation.

    Examples
    --------
    >>> parse("year >= 2023 and department == 'legal'")
    ((field('year') >= 2023) & (field('department') == 'legal'))
    >>> parse({"year": {"$gte": 2023}, "department": "legal"})
    ((field('year') >= 2023) & (field('department') == 'legal'))
    """
    if isinstance(where, Where):
        return where
    try:
        if isinstance(where, str):
            return _from_json(where) if where.lstrip().startswith("{") else _from_string(where)
        if isinstance(where, Mapping):
            return _from_bedrock(where) if _looks_like_bedrock(where) else _from_langchain(where)
    except RecursionError:
        raise WhereError("cannot read where: nested too deeply") from None
    raise WhereError(
        f'where is {shown(where)}: write a rag.field expression, a string such as "year >= 2023", '
        "a Knowledge Bases RetrievalFilter, or a LangChain filter"
    )


def _from_json(text: str) -> Where:
    try:
        where = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:  # a number of thousands of digits, too
        raise WhereError(f"where looks like JSON, and is not: {error}") from None
    return parse(where)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; of a key that occurs twice Python would drop the first value silently."""
    out = dict(pairs)
    if len(out) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise WhereError(f"the key {twice!r} occurs twice in where: join the conditions with $and or andAll")
    return out


# ---------------------------------------------------------------------- the string form


def _from_string(text: str) -> Where:
    if len(text) > 20_000:
        raise WhereError("where is over 20,000 characters long")
    try:
        with _PARSING:
            tree = ast.parse(text.strip(), mode="eval")
        return _node(tree.body, text)
    except SyntaxError as error:
        hint = "; write == to compare" if "=" in text and "==" not in text else ""
        raise WhereError(f"cannot read where {text!r}: {error.msg}{hint}") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise WhereError(f"cannot read where: {str(error) or 'nested too deeply'}") from None


def _node(node: ast.expr, text: str) -> Where:
    if isinstance(node, ast.BoolOp):
        parts = tuple(_node(value, text) for value in node.values)
        return And(parts) if isinstance(node.op, ast.And) else Or(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return Not(_node(node.operand, text))
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        tests = [_comparison(sides[i], op, sides[i + 1], text) for i, op in enumerate(node.ops)]
        return tests[0] if len(tests) == 1 else And(tuple(tests))
    if isinstance(node, ast.Call):
        return _call(node, text)
    raise WhereError(
        f"{ast.unparse(node)!r} in where {text!r} is not a comparison: write one such as "
        "department == 'legal'"
    )


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str) -> Where:
    if isinstance(op, ast.In | ast.NotIn):
        name = _name(left)
        if name is not None:
            values = several(f"{name!r}: in and not in", _literal(right, text))
            return Test(name, "in" if isinstance(op, ast.In) else "not in", values)
        name = _name(right)
        if name is None:
            raise WhereError(f"{ast.unparse(left)!r} in ...: no field is named in where {text!r}")
        member = Test(name, "contains", _literal(left, text))
        return member if isinstance(op, ast.In) else Not(member)
    symbol = _PYTHON.get(type(op))
    if symbol is None:
        raise WhereError(f"where {text!r}: write == or !=, not is")
    left_name, right_name = _name(left), _name(right)
    if left_name is not None and right_name is not None:
        raise WhereError(
            f"where {text!r} compares two fields, {left_name} and {right_name}: put a string in quotes"
        )
    if left_name is not None:
        return Test(left_name, symbol, _literal(right, text))
    if right_name is not None:
        return Test(right_name, _MIRROR[symbol], _literal(left, text))
    raise WhereError(f"{ast.unparse(left)!r}: no field is named in where {text!r}")


def _call(node: ast.Call, text: str) -> Where:
    if node.keywords:
        raise WhereError(f"where {text!r}: functions take no keywords")
    if isinstance(node.func, ast.Attribute) and node.func.attr in (*FUNCTIONS, "exists"):
        name, op, arguments = _name(node.func.value), node.func.attr, node.args
    elif isinstance(node.func, ast.Name) and node.func.id in (*FUNCTIONS, "exists") and node.args:
        name, op, arguments = _name(node.args[0]), node.func.id, node.args[1:]
    else:
        called = ast.unparse(node.func)
        raise WhereError(f"where has no function {called!r}: {near_operator(called, (*FUNCTIONS, 'exists'))}")
    if name is None:
        raise WhereError(f"{ast.unparse(node)!r} in where {text!r}: name a field first")
    if op == "exists" and not arguments:
        return Test(name, "exists")
    if op != "exists" and len(arguments) == 1:
        return Test(name, op, _literal(arguments[0], text))
    raise WhereError(f"{ast.unparse(node)!r}: {op} takes {0 if op == 'exists' else 1} value")


def _name(node: ast.expr) -> str | None:
    """Return the field that a node names: ``year``, ``build.year`` or ``field('doc-type')``."""
    if isinstance(node, ast.Name):
        return None if node.id in CONSTANTS else node.id
    if isinstance(node, ast.Attribute):
        head = _name(node.value)
        return None if head is None else f"{head}.{node.attr}"
    if (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "field"
        and len(node.args) == 1 and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ):  # fmt: skip
        return node.args[0].value
    return None


def _literal(node: ast.expr, text: str) -> Any:
    """Read a value, or a list of them; ``date('2024-01-31')`` is a date; true, false, null are as in JSON."""
    if isinstance(node, ast.Name):
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        raise WhereError(f"where {text!r}: put the value {node.id!r} in quotes")
    if (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id in ("date", "datetime") and len(node.args) == 1 and not node.keywords
    ):  # fmt: skip
        return _date(_literal(node.args[0], text))
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_literal(item, text) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise WhereError(f"{ast.unparse(node)!r} in where {text!r} is not a value") from None


def _date(value: Any) -> dt.date:
    """Return a date, or a datetime where the text names a time; a field of texts refuses both."""
    try:
        if len(value) <= len("2025-W05-5"):
            return dt.date.fromisoformat(value)
        return dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise WhereError(f"date({shown(value)}) is no ISO date: write it as date('2025-01-31')") from None


# ---------------------------------------------------------------------- the two dict forms


def _looks_like_bedrock(where: Mapping[str, Any]) -> bool:
    if len(where) != 1:
        return False
    key, value = next(iter(where.items()))
    if key in ("andAll", "orAll"):
        return isinstance(value, list)
    return key in BEDROCK and isinstance(value, Mapping) and "key" in value


def _from_bedrock(where: Any) -> Where:
    if not isinstance(where, Mapping) or len(where) != 1:
        raise WhereError(f"a RetrievalFilter has exactly one operator, not {shown(where)}")
    name, body = next(iter(where.items()))
    if name in ("andAll", "orAll"):
        if not isinstance(body, list) or len(body) < 2:
            raise WhereError(f"{name} takes a list of at least two filters, not {shown(body)}")
        parts = tuple(_from_bedrock(part) for part in body)
        return And(parts) if name == "andAll" else Or(parts)
    if name not in BEDROCK:
        known = (*BEDROCK, "andAll", "orAll")
        raise WhereError(f"a RetrievalFilter has no {shown(name)}: {near_operator(str(name), known)}")
    if not isinstance(body, Mapping) or set(body) != {"key", "value"}:
        raise WhereError(f"{name} takes exactly a key and a value, not {shown(body)}")
    key, value = field(body["key"]).name, body["value"]
    several_values = name in ("in", "notIn")
    return Test(key, BEDROCK[name], several(f"{key!r}: in and notIn", value) if several_values else value)


def _from_langchain(where: Mapping[str, Any]) -> Where:
    if not where:
        raise WhereError("where is an empty dict: leave it out to search everything")
    parts = [_langchain_item(key, value) for key, value in where.items()]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _langchain_item(key: str, value: Any) -> Where:
    if key in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise WhereError(f"{key} takes a list of filters, not {shown(value)}")
        parts = tuple(_from_langchain(_mapping(key, part)) for part in value)
        if len(parts) == 1:
            return parts[0]
        return And(parts) if key == "$and" else Or(parts)
    if key == "$not":
        return Not(_from_langchain(_mapping(key, value)))
    name = field(key).name
    if key.startswith("$"):
        if key in (*LANGCHAIN, *LANGCHAIN_MORE):
            raise WhereError(
                f"{key!r} stands without a field: a filter tests metadata, not texts, as in "
                f"{{'title': {{{key!r}: 'x'}}}}"
            )
        raise WhereError(f"a filter has no {key!r}: {near_operator(key, ('$and', '$or', '$not'))}")
    if isinstance(value, Mapping):
        if not value:
            raise WhereError(f"{key!r}: an empty dict says nothing; write a value or an operator")
        tests = [_langchain_test(name, op, operand) for op, operand in value.items()]
        return tests[0] if len(tests) == 1 else And(tuple(tests))
    if isinstance(value, list | tuple | set | frozenset):
        return Test(name, "in", tuple(value))
    return Test(name, "==", value)


def _langchain_test(key: str, op: Any, operand: Any) -> Where:
    if op in ("$in", "$nin"):
        return Test(key, LANGCHAIN[op], several(f"{key!r}: $in and $nin", operand))
    if op in LANGCHAIN:
        return Test(key, LANGCHAIN[op], operand)
    if op == "$not_contains":
        return Not(Test(key, "contains", operand))
    if op == "$between":
        lowest, highest = _ends(key, operand)
        return And((Test(key, ">=", lowest), Test(key, "<=", highest)))
    if op == "$exists" and isinstance(operand, bool):
        return Test(key, "exists") if operand else Not(Test(key, "exists"))
    if op == "$not":
        return Not(_langchain_item(key, operand))
    if op == "$exists":
        raise WhereError(f"{key!r}: $exists takes True or False, not {shown(operand)}")
    known = (*LANGCHAIN, *LANGCHAIN_MORE)
    raise WhereError(f"{key!r}: a filter has no operator {shown(op)}: {near_operator(str(op), known)}")


def _ends(key: str, operand: Any) -> tuple[Any, Any]:
    try:
        lowest, highest = several(key, operand)
    except (WhereError, ValueError):
        raise WhereError(
            f"{key!r}: $between takes a list of two values, the lowest and the highest, not {shown(operand)}"
        ) from None
    return lowest, highest


def _mapping(key: str, part: Any) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise WhereError(f"{key} takes filters, not {shown(part)}")
    return part
