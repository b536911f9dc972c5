"""Read a prompt's file: what is wrong with it is named with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import yaml

from rag.core.errors import ConfigError, near_miss
from rag.generation.prompts.file import FIELDS, TYPES, Finding, Form, PromptFile, Type, Variable, read_text
from rag.generation.prompts.template import Template

_KEYS = (
    "name", "version", "about", "tags", "cite", "form", "variables", "parameters", "passage", "question"
)  # fmt: skip
PARAMETERS = ("temperature", "max_tokens", "stop")
_SPEC = ("type", "default", "choices", "about")
#: Names that a variable cannot have.
_RESERVED = ("question", "documents")
_NAME, _VERSION = re.compile(r"[A-Za-z0-9][\w.-]*"), re.compile(r"[A-Za-z0-9][\w.+-]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Where something stands in the front matter: the keys that lead to it.
Place = tuple[str, ...]


def load(path: Path, text: str | None = None) -> PromptFile:
    """Return what a prompt's file holds.

    Raises
    ------
    ConfigError
        It names the first thing that is wrong, with its line.
    """
    made, findings = parse(path, read_text(path) if text is None else text)
    if made is None or findings:
        more = f" (and {len(findings) - 1} more: `rag prompt check`)" if len(findings) > 1 else ""
        raise ConfigError(f"{findings[0]}{more}")
    return made


def parse(path: Path, text: str) -> tuple[PromptFile | None, list[Finding]]:
    """Return what a prompt's file holds, and all that is wrong with it; nothing if it cannot be read."""
    reader = _Reader(path, text)
    try:
        return reader.read(), reader.findings
    except _Unreadable:
        return None, reader.findings


class _Unreadable(Exception):  # noqa: N818  # it ends the reading, and is never shown
    pass


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        self.findings: list[Finding] = []
        self.lines: dict[Place, int] = {}
        self.values: dict[str, Any] = {}

    def wrong(self, at: Place | int, text: str) -> None:
        """Add an error at a key of the front matter, or at a line."""
        if not isinstance(at, int):
            while at and at not in self.lines:
                at = at[:-1]
            at = self.lines.get(at, 1)
        self.findings.append(Finding(str(self.path), at, "error", text))

    def read(self) -> PromptFile:
        head, body, body_line = self._split()
        self._front_matter(head)
        for key in self.values:
            if key not in _KEYS:
                self.wrong((key,), f"front matter has no {key!r}: {near_miss(key, _KEYS)}")
        name, version = self._label("name", _NAME), self._label("version", _VERSION)
        label = f"{name}@{version}.md"
        if name and version and self.path.name != label:
            self.wrong(("name",), f"the file of {name}@{version} is named {label}, not {self.path.name}")
        variables = self._variables()
        template = Template(body.strip("\n") + "\n", body_line + len(body) - len(body.lstrip("\n")))
        if not body.strip():
            self.wrong(body_line, "there is no text below the front matter")
        self._check_names(template, variables)
        return PromptFile(
            path=str(self.path), text=self.text, name=name, version=version, body=template,
            about=self._plain("about", str, "a text", ""), tags=self._tags(), variables=variables,
            parameters=self._parameters(), passage=self._passage(), question=self._question(variables),
            cite=self._plain("cite", bool, "true or false", False), form=self._form(),
        )  # fmt: skip

    # ------------------------------------------------------------------ the front matter

    def _split(self) -> tuple[str, str, int]:
        match = re.match(r"---[ \t]*\n(.*?)^---[ \t]*$\n?", self.text, re.DOTALL | re.MULTILINE)
        if match is None:
            self.wrong(1, "the front matter is missing: write name and version between two lines of ---")
            raise _Unreadable
        return match[1], self.text[match.end() :], 1 + self.text.count("\n", 0, match.end())

    def _front_matter(self, head: str) -> None:
        loader = yaml.SafeLoader(head)
        try:
            node = loader.get_single_node()
            if node is not None and not isinstance(node, yaml.MappingNode):
                self.wrong(2, "the front matter is no list of `key: value`")
                raise _Unreadable
            if node is not None:
                self._note_lines(node, ())
                self.values = loader.construct_document(node)
                raw = {
                    key.value: value.value for key, value in node.value if isinstance(value, yaml.ScalarNode)
                }
                # As it is written: YAML would read version 2.10 as the number 2.1.
                self.values |= {key: raw[key] for key in ("name", "version") if raw.get(key)}
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            line = 2 + (mark.line if mark is not None else 0)
            self.wrong(line, f"the front matter is not YAML: {' '.join(str(problem).split())}")
            raise _Unreadable from None
        finally:
            loader.dispose()

    def _note_lines(self, node: yaml.MappingNode, above: Place) -> None:
        for key, value in node.value:
            place = (*above, str(key.value))
            line = 2 + key.start_mark.line
            if place in self.lines:
                self.wrong(line, f"{key.value!r} is there twice, before at line {self.lines[place]}")
            self.lines[place] = line
            if isinstance(value, yaml.MappingNode):
                self._note_lines(value, place)

    def _label(self, key: str, form: re.Pattern[str]) -> str:
        value = str(self.values.get(key) or "")
        if not value:
            self.wrong((key,), f"the front matter has no {key}")
        elif not form.fullmatch(value):
            self.wrong((key,), f"the {key} {value!r} has other characters than letters, digits and . _ -")
        return value

    def _plain(self, key: str, kind: type[Any], what: str, default: Any) -> Any:
        value = self.values.get(key, default)
        if not isinstance(value, kind):
            self.wrong((key,), f"{key} is {what}, not {value!r}")
            return default
        return value

    def _mapping(self, key: str) -> Mapping[Any, Any]:
        value = self.values.get(key) or {}
        if not isinstance(value, Mapping):
            self.wrong((key,), f"{key} is a mapping, not {value!r}")
            return {}
        return value

    def _tags(self) -> tuple[str, ...]:
        value = self.values.get("tags") or []
        if not isinstance(value, list) or not all(isinstance(tag, str | int) for tag in value):
            self.wrong(("tags",), f"tags is a list of words, not {value!r}")
            return ()
        return tuple(map(str, value))

    def _form(self) -> Form | None:
        value = self.values.get("form")
        if value is not None and value not in get_args(Form):
            self.wrong(("form",), f"there is no form {value!r}: {near_miss(str(value), get_args(Form))}")
            return None
        return cast("Form | None", value)

    # ------------------------------------------------------------------ variables and parameters

    def _variables(self) -> dict[str, Variable]:
        made = {}
        for name, spec in self._mapping("variables").items():
            place = ("variables", str(name))
            if not _IDENTIFIER.fullmatch(str(name)) or name in _RESERVED:
                self.wrong(place, f"{name!r} cannot be a variable's name")
                continue
            variable = self._variable(str(name), {} if spec is None else spec, place)
            if variable is not None:
                made[variable.name] = variable
        return made

    def _variable(self, name: str, spec: Any, place: Place) -> Variable | None:
        if not isinstance(spec, Mapping):
            self.wrong(
                place, f"the variable {name!r} is a mapping such as {{type: str, default: …}}, not {spec!r}"
            )
            return None
        for key in spec:
            if key not in _SPEC:
                self.wrong((*place, str(key)), f"a variable has no {key!r}: {near_miss(str(key), _SPEC)}")
        kind, choices = spec.get("type", "choice" if "choices" in spec else "str"), spec.get("choices") or []
        if kind not in TYPES:
            self.wrong((*place, "type"), f"there is no type {kind!r}: {near_miss(str(kind), TYPES)}")
            return None
        if (kind == "choice") != bool(choices) or not isinstance(choices, list):
            self.wrong((*place, "choices"), "a choice, and nothing else, has a list of choices")
            return None
        if not all(isinstance(each, str) for each in choices):
            self.wrong(
                (*place, "choices"), f"choices are texts, not {choices!r}: put yes, no and numbers in quotes"
            )
            return None
        made = Variable(name, cast("Type", kind), None, tuple(choices), str(spec.get("about", "")))
        if spec.get("default") is None:
            return made
        try:
            default = made.checked(spec["default"])
        except ConfigError as error:
            self.wrong((*place, "default"), str(error))
            return made
        return Variable(name, made.type, default, made.choices, made.about)

    def _parameters(self) -> dict[str, Any]:
        checks: Mapping[str, tuple[Callable[[Any], bool], str]] = {
            "temperature": (lambda v: _is_number(v) and 0 <= v <= 2, "a number from 0 to 2"),
            "max_tokens": (lambda v: _is_number(v) and v == int(v) >= 1, "a whole number from 1"),
            "stop": (
                lambda v: isinstance(v, list) and bool(v) and all(isinstance(s, str) and s for s in v),
                "a list of texts",
            ),
        }
        made = {}
        for name, value in self._mapping("parameters").items():
            place = ("parameters", str(name))
            if name not in checks:
                self.wrong(place, f"there is no parameter {name!r}: {near_miss(str(name), PARAMETERS)}")
                continue
            right, what = checks[name]
            if name == "stop" and isinstance(value, str):
                value = [value]
            if right(value):
                made[str(name)] = value
            else:
                self.wrong(place, f"{name} is {what}, not {value!r}")
        return made

    # ------------------------------------------------------------------ templates

    def _question(self, variables: Mapping[str, Variable]) -> Template | None:
        text = self._plain("question", str, "a text", "")
        if not text.strip():
            return None
        template = Template(text.strip(), self._line_of("question", text))
        self._check_names(template, variables, ("question",))
        if sum(name == "question" for _, name, _ in template.places()) != 1:
            self.wrong(("question",), "question must name {{ question }} once")
        return template

    def _line_of(self, key: str, text: str) -> int:
        """Return the line at which a key's text begins: of a block, below the key."""
        line = self.lines.get((key,), 1)
        return line + ("\n" in text.strip("\n") or text.endswith("\n"))

    def _passage(self) -> dict[str, Template] | None:
        value = self.values.get("passage")
        if value is None:
            return None
        if isinstance(value, list):
            value = {str(each).partition(".")[2] or str(each): f"{{{{ {each} }}}}" for each in value}
        if not isinstance(value, Mapping):
            self.wrong(
                ("passage",), f"passage is a list of fields, or a mapping of names to texts, not {value!r}"
            )
            return None
        templates = {}
        for name, text in value.items():
            place = ("passage", str(name))
            if not _IDENTIFIER.fullmatch(str(name)) or name in ("index", "source"):
                self.wrong(place, f"{name!r} cannot be the name of a passage's attribute")
                continue
            if not isinstance(text, str) or "{{" not in text:
                self.wrong(
                    place, f"{name} shows nothing of a passage: write e.g. {{{{ title }}}}, not {text!r}"
                )
                continue
            templates[str(name)] = Template(text, self.lines.get(place, self.lines[("passage",)]))
        for template in templates.values():
            for line, name, written in template.places():
                if not name:
                    self.wrong(line, f"{written} is no field: write e.g. {{{{ title }}}}")
                elif not name.startswith("metadata.") and name not in FIELDS:
                    hint = near_miss(name, FIELDS)
                    self.wrong(
                        line, f"a passage has no {name!r} (metadata is {{{{ metadata.NAME }}}}): {hint}"
                    )
        return templates

    def _check_names(
        self, template: Template, variables: Mapping[str, Variable], more: tuple[str, ...] = ()
    ) -> None:
        known = {*variables, *more}
        for line, text in _unknown(template, known):
            self.wrong(line, text)


def _unknown(template: Template, known: set[str]) -> Iterator[tuple[int, str]]:
    for line, name, written in template.places():
        if not name:
            short = " ".join(written.split())[:40]
            yield line, f"{short} is no variable: write {{{{ name }}}}, or \\{{{{ for the braces"
        elif name not in known:
            yield line, f"there is no variable {name!r}: {near_miss(name, known)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
