"""Reading a filter in any notation into the algebra of `rag.index.filters.where`, which prints them all.

Besides ``rag.field`` expressions there are three:

- the string form, a safe subset of Python expressions, parsed and never evaluated:
  ``"year >= 2023 and department in ('legal', 'security') and 'gdpr' in tags"``;
- Bedrock Knowledge Bases' RetrievalFilter: ``{"andAll": [{"equals": {"key": ..., "value": ...}}]}``;
- LangChain's dict form: ``{"department": "legal", "year": {"$gte": 2023}}``.
"""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Mapping
from typing import Any

from rag.core.errors import WhereError, near_miss
from rag.index.filters.operators import BEDROCK, CONSTANTS, FUNCTIONS, LANGCHAIN
from rag.index.filters.where import And, Not, Or, Test, Where, field

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
    if isinstance(where, str):
        return _from_json(where) if where.lstrip().startswith("{") else _from_string(where)
    if isinstance(where, Mapping):
        return _from_bedrock(where) if _looks_like_bedrock(where) else _from_langchain(where)
    raise WhereError(
        f'where is {where!r}: write a rag.field expression, a string such as "year >= 2023", '
        "a Knowledge Bases RetrievalFilter, or a LangChain filter"
    )


def _from_json(text: str) -> Where:
    try:
        return parse(json.loads(text))
    except json.JSONDecodeError as error:
        raise WhereError(f"where looks like JSON, and is not: {error}") from None


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
            values = _literal(right, text)
            if not isinstance(values, list | tuple | set):
                raise WhereError(f"{name!r}: in and not in take a list of values, not {values!r}")
            return Test(name, "in" if isinstance(op, ast.In) else "not in", tuple(values))
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
        raise WhereError(f"where has no function {called!r}: {near_miss(called, (*FUNCTIONS, 'exists'))}")
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
    """Read a value; ``date('2024-01-31')`` is a date, and true, false, null are as in JSON."""
    if isinstance(node, ast.Name):
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        raise WhereError(f"where {text!r}: put the value {node.id!r} in quotes")
    if (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id in ("date", "datetime") and len(node.args) == 1
    ):  # fmt: skip
        return _literal(node.args[0], text)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise WhereError(f"{ast.unparse(node)!r} in where {text!r} is not a value") from None


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
        raise WhereError(f"a RetrievalFilter has exactly one operator, not {where!r}")
    name, body = next(iter(where.items()))
    if name in ("andAll", "orAll"):
        if not isinstance(body, list) or len(body) < 2:
            raise WhereError(f"{name} takes a list of at least two filters, not {body!r}")
        parts = tuple(_from_bedrock(part) for part in body)
        return And(parts) if name == "andAll" else Or(parts)
    if name not in BEDROCK:
        known = (*BEDROCK, "andAll", "orAll")
        raise WhereError(f"a RetrievalFilter has no {name!r}: {near_miss(name, known)}")
    if not isinstance(body, Mapping) or set(body) != {"key", "value"}:
        raise WhereError(f"{name} takes exactly a key and a value, not {body!r}")
    if name in ("in", "notIn") and not isinstance(body["value"], list):
        raise WhereError(f"{name} takes a list of values, not {body['value']!r}")
    value = tuple(body["value"]) if name in ("in", "notIn") else body["value"]
    return Test(field(body["key"]).name, BEDROCK[name], value)


def _from_langchain(where: Mapping[str, Any]) -> Where:
    if not where:
        raise WhereError("where is an empty dict: leave it out to search everything")
    parts = [_langchain_item(key, value) for key, value in where.items()]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _langchain_item(key: str, value: Any) -> Where:
    if key in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise WhereError(f"{key} takes a list of filters, not {value!r}")
        parts = tuple(_from_langchain(_mapping(key, part)) for part in value)
        if len(parts) == 1:
            return parts[0]
        return And(parts) if key == "$and" else Or(parts)
    if key == "$not":
        return Not(_from_langchain(_mapping(key, value)))
    if key.startswith("$"):
        raise WhereError(f"a filter has no {key!r}: {near_miss(key, ('$and', '$or', '$not'))}")
    if isinstance(value, list | tuple | set):
        return Test(key, "in", tuple(value))
    if not isinstance(value, Mapping):
        return Test(key, "==", value)
    if not value:
        raise WhereError(f"{key!r}: an empty dict says nothing; write a value or an operator")
    tests = [_langchain_test(key, op, operand) for op, operand in value.items()]
    return tests[0] if len(tests) == 1 else And(tuple(tests))


def _langchain_test(key: str, op: str, operand: Any) -> Where:
    if op in ("$in", "$nin"):
        if not isinstance(operand, list | tuple | set):
            raise WhereError(f"{key!r}: {op} takes a list of values, not {operand!r}")
        return Test(key, LANGCHAIN[op], tuple(operand))
    if op in LANGCHAIN:
        return Test(key, LANGCHAIN[op], operand)
    if op == "$exists" and isinstance(operand, bool):
        return Test(key, "exists") if operand else Not(Test(key, "exists"))
    if op == "$not":
        return Not(_langchain_item(key, operand))
    known = (*LANGCHAIN, "$exists", "$not")
    raise WhereError(f"{key!r}: a filter has no operator {op!r}: {near_miss(op, known)}")


def _mapping(key: str, part: Any) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise WhereError(f"{key} takes filters, not {part!r}")
    return part
