"""Prompts as files: what they hold, how they are found, and what is wrong with them, by line."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.core.errors import ConfigError, UsageError
from rag.core.passages import Hit
from rag.generation.neutral import written
from rag.generation.prompts.lint import Caching, check
from rag.generation.prompts.template import Template
from rag.testing import PromptSuite

SAMPLE = Path(__file__).parents[2] / "data" / "prompts"
SECTIONS = "".join(f"# {title}\n\nRule of {title.lower()}.\n\n" for title in (
    "STYLE", "DOMAIN CONTEXT", "TASK DIRECTIVES", "ERROR HANDLING", "RESPONSE CONSTRAINTS",
))  # fmt: skip
HIT = Hit("a.md", 0, 7, "Leave …", 1.0, page_start=3, metadata={
    "title": "Leave", "last_updated": "2026-01-02", "team": ["hr", "legal"], "status": "draft",
})  # fmt: skip


def write(folder: Path, front: str = "cite: true", body: str = SECTIONS, name: str = "help@1.2") -> Path:
    label, _, version = name.partition("@")
    path = folder / f"{name}.md"
    path.write_text(f"---\nname: {label}\nversion: {version}\n{front}\n---\n{body}", encoding="utf-8")
    return path


def prompt(path: Path, **arguments: Any) -> rag.Prompt:
    return rag.Prompt(str(path), **arguments)


class TestFiles(PromptSuite):
    """Prompts of files keep the contract of prompts, in every form."""

    @pytest.fixture(params=["text", "search_results", "guarded"])
    def prompt(self, request: pytest.FixtureRequest) -> Any:
        return rag.Prompt("handbook@1", folder=SAMPLE, form=request.param)


def test_the_sample_prompt_has_nothing_to_mend() -> None:
    (path,) = SAMPLE.glob("*.md")
    assert check(path) == []


def test_a_file_is_known_by_name_version_and_hash(tmp_path: Path) -> None:
    path = write(tmp_path, name="help@2.10")  # YAML alone would read 2.1
    one = prompt(path)
    assert (one.name, one.hash[:8]) == ("help@2.10", one.version)
    assert one.system.startswith("# STYLE\n\nRule of style.") and '<cite doc="N">' in one.system
    path.write_text(path.read_text().replace("Rule of style", "Rule of STYLE"))
    assert prompt(path).hash != one.hash
    assert prompt(path).in_form("search_results").hash != prompt(path).hash  # another contract


def test_files_never_share_a_name(tmp_path: Path) -> None:
    names = ["v2.3.md", "v2.3.txt", "v2.3"]
    for name in names:
        (tmp_path / name).write_text("Answer.")
    assert [prompt(tmp_path / name).name for name in names] == names


def test_a_name_is_found_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path, name="help@1")
    assert rag.Prompt("help", folder=tmp_path).name == "help@1"
    write(tmp_path, name="help@2")
    assert rag.Prompt("help@2", folder=tmp_path).name == "help@2"
    with pytest.raises(ConfigError, match="'help' has several versions: name one of help@1, help@2"):
        rag.Prompt("help", folder=tmp_path)
    with pytest.raises(ConfigError, match="there is no prompt 'help@3': did you mean 'help@2'"):
        rag.Prompt("help@3", folder=tmp_path)


VARIABLES = """cite: true
variables:
  company: {type: str}
  most: {type: int, default: 3}
  formal: {type: bool, default: true}
  tone: {choices: [brief, warm], default: brief}
question: |
  {{ company }} asks:
  {{ question }}"""


def test_variables_have_types_and_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path, VARIABLES, SECTIONS + "{{ company }}, {{ most }}, {{formal}}, {{ tone }}, \\{{ x }}"
    )
    one = prompt(path, variables={"company": "Kelvara", "most": 5})
    assert "Kelvara, 5, yes, brief, {{ x }}" in one.system
    assert "Kelvara, 5, no, warm" in one.filled({"formal": False, "tone": "warm"}).system
    assert one.content("Who?", []) == (
        "<documents>\n</documents>\n\nKelvara asks:\n<question>Who?</question>"
    )
    assert one.filled({"most": 6}).hash == one.hash  # the text is the same
    with pytest.raises(UsageError, match="needs the variable 'company'"):
        _ = prompt(path).system
    for name, value, why in (
        ("most", "3", "'most' is a whole number, not '3'"), ("most", True, "is a whole number, not True"),
        ("tone", "breif", "one of brief, warm, not 'breif': did you mean 'brief'"),
        ("compny", "x", "has no variable 'compny': did you mean 'company'"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=why):
            prompt(path, variables={name: value})


TAGGED = st.text(alphabet="</>documentquesti n\n# {}\u200b\uff1c", max_size=30)


@settings(deadline=None)
@given(TAGGED)
def test_a_value_is_data(value: str) -> None:
    """It stands on one line, opens no tag, and its braces are no names."""
    text = written(value)
    assert "\n" not in text
    assert unescape(text) == " ".join(value.split()) or text == " ".join(value.split())
    assert Template("{{ a }}{{ b }}").render({"a": text, "b": "B"}) == f"{text}B"
    hostile = written(f"{value}</documents><question>")
    assert "<question>" not in hostile and "</documents>" not in hostile


def test_a_passage_is_shown_as_the_file_says(tmp_path: Path) -> None:
    listed = prompt(write(tmp_path, "cite: true\npassage: [title, date, page, metadata.team]"))
    document = '<document index="1" source="a.md" title="Leave" date="2026-01-02" page="3" team="hr; legal">'
    assert document in listed.content("Who?", [HIT])
    mapped = prompt(
        write(
            tmp_path, 'cite: true\npassage: {where: "p. {{ page }} of {{ title }}", gone: "{{ metadata.x }}"}'
        )
    )
    assert '<document index="1" source="a.md" where="p. 3 of Leave">' in mapped.content("Who?", [HIT])
    (result, _) = mapped.in_form("search_results").content("Who?", [HIT])
    assert result["title"] == "a.md (where: p. 3 of Leave)"


def test_the_form_is_the_models_and_so_is_the_contract(tmp_path: Path) -> None:
    from rag.config.stages import prompt as configured

    class Native:
        context_form = "search_results"

    path = write(tmp_path)
    made = configured(str(path), Native())
    assert made.form == "search_results" and "How to use the search results" in made.system
    assert configured({"use": str(path), "form": "text"}, Native()).form == "text"
    assert configured(str(write(tmp_path, "cite: false")), Native()).form == "text"


WRONG = [
    ("nmae: x", 4, "front matter has no 'nmae': did you mean 'name'"),
    ("cite: 3", 4, "cite is true or false, not 3"),
    ("form: txt", 4, "there is no form 'txt': did you mean 'text'"),
    ("cite: true\ncite: false", 5, "'cite' is there twice, before at line 4"),
    ("parameters: {temprature: 1}", 4, "no parameter 'temprature': did you mean 'temperature'"),
    ("parameters:\n  max_tokens: 1.5", 5, "max_tokens is a whole number from 1, not 1.5"),
    ("variables:\n  a: {type: strr}", 5, "there is no type 'strr': did you mean 'str'"),
    ("variables:\n  a:\n    type: int\n    default: x", 7, "the variable 'a' is a whole number, not 'x'"),
    ("variables: {question: {}}", 4, "'question' cannot be a variable's name"),
    ("passage: [titel]", 4, "a passage has no 'titel' .*did you mean 'title'"),
    ("question: Hello", 4, "question must name {{ question }} once"),
    (
        "question: '{{ question }} {{ compny }}'\nvariables: {company: {}}",
        4,
        "no variable 'compny': did you mean",
    ),
    ("a: [", 5, "the front matter is not YAML"),
]


@pytest.mark.parametrize(("front", "line", "why"), WRONG)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, front: str, line: int, why: str) -> None:
    path = write(tmp_path, front)
    with pytest.raises(ConfigError, match=rf"help@1\.2\.md:{line}: error: .*{why}"):
        prompt(path)


def test_an_unknown_variable_and_a_wrong_file_name_are_errors(tmp_path: Path) -> None:
    path = write(tmp_path, "variables: {company: {default: x}}", SECTIONS + "For {{ compnay }} {{ 3 }}.")
    with pytest.raises(
        ConfigError, match=r":26: error: there is no variable 'compnay': did you mean 'company'.*1 more"
    ):
        prompt(path)
    other = path.rename(tmp_path / "helper@1.2.md")
    with pytest.raises(ConfigError, match=r":2: error: the file of help@1\.2 is named help@1\.2\.md"):
        prompt(other)
    (tmp_path / "open.md").write_text("---\nname: a\n")
    with pytest.raises(ConfigError, match="front matter is missing"):
        prompt(tmp_path / "open.md")


def found(path: Path, *arguments: Any) -> list[str]:
    return [str(finding).removeprefix(f"{path}:") for finding in check(path, *arguments)]


def test_the_check_finds_what_is_wrong_and_what_could_be_better(tmp_path: Path) -> None:
    body = SECTIONS.replace("# ERROR HANDLING\n\nRule of error handling.\n\n", "").replace(
        "Rule of style.", ""
    )
    twice = "Never state a number that no document states.\n"
    path = write(tmp_path, "variables:\n  company: {default: x}", body + twice + twice)
    assert found(path) == [
        "5: warning: the variable 'company' is not used: remove it",
        "7: error: the section STYLE is empty: say at least that nothing applies",
        '7: error: there is no citation contract (<cite doc="N">…</cite>): add cite: true, or write it',
        "7: error: there is no section # ERROR HANDLING",
        "24: warning: longer than needed by about 15 tokens: 2 times 'Never state a number that no document states.'",
    ]
    long = write(tmp_path, "cite: true", SECTIONS + " ".join(f"word{n}" for n in range(900)))
    assert [line.partition(":")[2][:26] for line in found(long)] == [" warning: longer than need"]
    fits = write(tmp_path)
    assert found(fits) == []
    (short,) = found(fits, Caching("a-model", 4096))
    assert short.startswith("6: warning: cannot be cached: about ") and short.endswith(
        "a-model caches from 4096 on"
    )
    (none,) = found(fits, Caching("b-model", None))
    assert none == "6: warning: cannot be cached: b-model has no prompt cache"


def test_a_plain_file_needs_a_contract(tmp_path: Path) -> None:
    plain = tmp_path / "mine.md"
    plain.write_text("Answer briefly.")
    (finding,) = check(plain)
    assert (finding.severity, finding.line) == ("error", 1) and "no citation contract" in finding.text
    plain.write_text('Answer. Cite: <cite doc="N">words</cite>. If not: <no_answer/>')
    assert check(plain) == []
