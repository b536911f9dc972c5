"""Read a guardrail's file into settings: its short forms, its tables, and what they must have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from rag.bedrock.guardrails.settings import (
    FILTERS,
    PII,
    STRENGTHS,
    TIERS,
    UNMASKED,
    Filter,
    GuardrailSettings,
    Mode,
    Reasoning,
    Regex,
    Threshold,
    Topic,
    Ways,
    Word,
)
from rag.core.errors import ConfigError, near_miss
from rag.usage.settings import checked

_CHECKS = ("grounding", "relevance")
#: The names at the top of a file.
_TABLES = ("topics", "filters", "words", "pii", "regexes", "grounding", "reasoning", "tags")
_TOP = ("name", "description", "blocked_input", "blocked_output", "tier", "cross_region", "kms_key", *_TABLES)


def parse(table: Mapping[str, Any], where: str, name: str = "") -> GuardrailSettings:
    """Check a guardrail's file.

    Parameters
    ----------
    table : mapping
        As read from TOML.
    where : str
        Names the file in errors.
    name : str
        The guardrail's, where the file does not say it.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.

    Examples
    --------
    >>> table = {"blocked_input": "No.", "blocked_output": "No.", "pii": {"email": "mask"}}
    >>> parse(table, "a.toml", "a").pii["email"].output
    'mask'
    """
    for key in table:
        if key not in _TOP:
            raise ConfigError(f"{where} has no setting {key!r}: {near_miss(key, _TOP)}")
    words = _table(table, "words", where)
    plain = {key: _stripped(value) for key, value in table.items() if key not in (*_TABLES, "tier")}
    values = {
        "name": name, **plain, **_tiers(table.get("tier", {}), where),
        "tags": _tags(_table(table, "tags", where), where),
        "topics": tuple(_topic(each, where) for each in _tables(table, "topics", where)),
        "filters": {
            key: _filter(key, value, where)
            for key, value in _named(_table(table, "filters", where), FILTERS, f"{where}, [filters]")
        },
        "words": _words(words, where), "profanity": _profanity(words.get("profanity", False), where),
        "pii": {
            key: _ways(value, f"{where}, [pii] {key}", masks=True)
            for key, value in _named(_table(table, "pii", where), PII, f"{where}, [pii]")
        },
        "regexes": tuple(_regex(each, where) for each in _tables(table, "regexes", where)),
        "grounding": {
            key: _threshold(value, f"{where}, [grounding] {key}")
            for key, value in _named(_table(table, "grounding", where), _CHECKS, f"{where}, [grounding]")
        },
        "reasoning": checked(Reasoning, _table(table, "reasoning", where), f"{where}, [reasoning]")
        if "reasoning" in table else None,
    }  # fmt: skip
    made = checked(GuardrailSettings, values, where)
    _consistent(made, where)
    return made


def _consistent(made: GuardrailSettings, where: str) -> None:
    if not (made.topics or made.filters or made.words or made.profanity or made.pii or made.regexes
            or made.grounding or made.reasoning):  # fmt: skip
        raise ConfigError(f"{where} has no policy: add one of {', '.join(_TABLES[:-1])}")
    for what, names in (
        ("[[topics]]", [topic.name for topic in made.topics]),
        ("[[regexes]]", [regex.name for regex in made.regexes]),
        ("[words]", [word.text for word in made.words]),
    ):  # fmt: skip
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise ConfigError(f"{where}, {what}: {name!r} occurs twice: remove one")
            seen.add(name)
    tiers = (made.topics_tier, made.filters_tier, made.grounding_tier)
    if "standard" in tiers and made.cross_region is None:
        raise ConfigError(f"{where}: the standard tier needs cross_region, such as us.guardrail.v1:0")


def _stripped(value: Any) -> Any:
    """Return a text without the line feed at the end of TOML's long form."""
    return value.strip() if isinstance(value, str) else value


def _table(table: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: {name} must be a table [{name}], not {value!r}")
    return value


def _tables(table: Mapping[str, Any], name: str, where: str) -> Sequence[Mapping[str, Any]]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise ConfigError(f"{where}: {name} must be tables [[{name}]], not {value!r}")
    return value


def _named(table: Mapping[str, Any], known: Sequence[str], where: str) -> Sequence[tuple[str, Any]]:
    """Return a table's items, their names in lower case, if all are known."""
    items = [(str(key).lower(), value) for key, value in table.items()]
    for key, _ in items:
        _known(key, known, where)
    return items


def _known(key: str, known: Sequence[str], where: str) -> None:
    if key not in known:
        raise ConfigError(f"{where} has no {key!r}: {near_miss(key, known)}")


def _one_of(value: Any, known: Sequence[str], where: str) -> Any:
    if value not in known:
        hint = near_miss(value, known) if isinstance(value, str) else f"there is: {', '.join(known)}"
        raise ConfigError(f"{where} is {value!r}: {hint}")
    return value


def _ways(value: Any, where: str, *, masks: bool = False, default: str = "block") -> Ways:
    """Read what happens: a mode, or one each for ``input`` and ``output``."""
    known = get_args(Mode) if masks else UNMASKED
    both = value if isinstance(value, Mapping) else {"input": value, "output": value}
    for key in both:
        _known(key, ("input", "output"), where)
    modes = {
        key: _one_of(each, known, f"{where}, {key}" if both is value else where) for key, each in both.items()
    }
    return Ways(**{"input": default, "output": default, **modes})


def _split(table: Mapping[str, Any], where: str, *, masks: bool = False) -> dict[str, Any]:
    """Return a table with `action` read into `ways`, and its texts stripped."""
    default = "mask" if masks else "block"
    rest = {key: _stripped(value) for key, value in table.items() if key != "action"}
    return {
        **rest,
        "ways": _ways(table.get("action", default), f"{where}, action", masks=masks, default=default),
    }


def _topic(table: Mapping[str, Any], where: str) -> Topic:
    place = f'{where}, topic "{table.get("name", "")}"'
    values = _split(table, place)
    examples = values.get("examples", [])
    if isinstance(examples, list):
        values["examples"] = tuple(_stripped(each) for each in examples)
    return checked(Topic, values, place)


def _regex(table: Mapping[str, Any], where: str) -> Regex:
    place = f'{where}, regex "{table.get("name", "")}"'
    return checked(Regex, _split(table, place, masks=True), place)


def _filter(name: str, value: Any, where: str) -> Filter:
    place = f"{where}, [filters] {name}"
    if not isinstance(value, Mapping):
        value = {"input": value, "output": "none" if name == "prompt_attack" else value}
    for way in ("input", "output"):
        if way in value:
            _one_of(value[way], STRENGTHS, f"{place}, {way}")
    made = checked(Filter, _split(value, place), place)
    if name == "prompt_attack" and made.output != "none":
        raise ConfigError(
            f"{place}, output is {made.output!r}: attacks are looked for in prompts alone; leave it out"
        )
    return made


def _threshold(value: Any, where: str) -> Threshold:
    table = value if isinstance(value, Mapping) else {"threshold": value}
    if "action" in table:
        _one_of(table["action"], UNMASKED, f"{where}, action")
    return checked(Threshold, table, where)


def _words(table: Mapping[str, Any], where: str) -> tuple[Word, ...]:
    place = f"{where}, [words]"
    for key in table:
        _known(key, ("block", "profanity"), place)
    block = table.get("block", [])
    if not isinstance(block, list):
        raise ConfigError(f"{place}: block must be a list of words, not {block!r}")
    return tuple(
        checked(
            Word, _split(each if isinstance(each, Mapping) else {"text": each}, place), f"{place}, item {n}"
        )
        for n, each in enumerate(block, 1)
    )


def _profanity(value: Any, where: str) -> Ways | None:
    if isinstance(value, bool):
        return Ways() if value else None
    return _ways(value, f"{where}, [words] profanity")


def _tiers(value: Any, where: str) -> dict[str, Any]:
    names = ("topics", "filters", "grounding")
    tiers = value if isinstance(value, Mapping) else dict.fromkeys(names, value)
    for name, tier in tiers.items():
        _known(name, names, f"{where}, tier")
        _one_of(tier, TIERS, f"{where}, tier")
    return {f"{name}_tier": tier for name, tier in tiers.items()}


def _tags(table: Mapping[str, Any], where: str) -> Mapping[str, str]:
    for key, value in table.items():
        if (
            not isinstance(value, str)
            or len(value) > 256
            or not 0 < len(key) <= 128
            or key.lower().startswith("aws:")
        ):
            raise ConfigError(
                f"{where}, [tags] {key}: write a name of 1 to 128 characters that does not begin with "
                "aws:, and a text of at most 256"
            )
    return table
