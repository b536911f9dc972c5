"""Markdown: rules that begin no front matter, fences that hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rag.loading.formats import plain
from rag.loading.formats.plain import outline, parse_markdown
from rag.loading.structure import Options


def body_of(text: str) -> tuple[str, dict[str, Any]]:
    parsed = parse_markdown(Path("a.md"), text.encode(), Options())
    metadata = {name: value for name, value in parsed.metadata.items() if name != "encoding"}
    return parsed.text[parsed.body :], metadata


@pytest.mark.parametrize(
    "text",
    [
        "---\nMeeting of the board, 4 May: the lease was extended.\nAlso decided: no ferry.\n\n---\n\n# Next\n",
        "---\n\n# Slide one: prices\n\nThe licence costs 400.\n\n---\n\n# Slide two\n",
        "---\nJust prose, and a rule below.\n---\nMore.\n",
        "---\n- a list\n- of two\n---\nMore.\n",
        "---\n# A heading only\n---\nMore.\n",
        "---\nNote: keep the lid closed while the pump runs.\n---\nMore.\n",
        "---\ntitle: broken: yaml\n---\nMore.\n",
        "---\nno end of it\n",
        "***\ntitle: no front matter\n***\n",
    ],
)  # fmt: skip
def test_a_rule_before_prose_begins_no_front_matter(text: str) -> None:
    assert body_of(text) == (text, {})


@pytest.mark.parametrize(
    ("text", "body", "metadata"),
    [
        ("---\ntitle: Dots\nyear: 2025\n...\n\nThe kiln.\n", "\nThe kiln.\n", {"title": "Dots", "year": 2025}),
        ("\ufeff---\r\nversion: 2\r\n---\r\nText", "Text", {"version": 2}),
        ("---\n\ntitle: A\n---\nText", "Text", {"title": "A"}),
        ("---\n---\nText", "Text", {}),
        # what may be either is both
        ("---\n\nPrice: 400\n\n---\nText", "---\n\nPrice: 400\n\n---\nText", {"Price": 400}),
        ("---\nDear all: hello.\n---\n", "---\nDear all: hello.\n---\n", {"Dear all": "hello."}),
        ("---\ndate: 4 May\ndecided: the lease was extended to 2031.\n---\n",
         "---\ndate: 4 May\ndecided: the lease was extended to 2031.\n---\n",
         {"date": "4 May", "decided": "the lease was extended to 2031."}),
    ],
)  # fmt: skip
def test_front_matter_is_metadata(text: str, body: str, metadata: dict[str, Any]) -> None:
    assert body_of(text) == (body, metadata)


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("# A\n```\n# code\n```\n# B\n", ["A", "B"]),
        ("# A\n```\nnever closed\n\n# B\n", ["A", "B"]),
        ("# A\n```foo``` in a line\n# B\n", ["A", "B"]),
        ("# A\nUse\n``` to begin\n# B\n\n```\n# code\n```\n# C\n", ["A", "B", "C"]),
        ("``` is the mark of code here\n# A\n```\n# code\n```\n# B\n", ["A", "B"]),
        ("# A\n```js\nleft open\n\n# B\n```python\n# code\n```\n# C\n\n```\n# code\n```\n# D\n", ["A", "B", "C", "D"]),
        ("# A\n````md\n```python\n# code\n```\n````\n# B\n", ["A", "B"]),
        ("~~~\n```\n# code\n~~~\n# A\n```\n# code\n```\n# B\n", ["A", "B"]),
        ("# A\n```python title=\"of three words\"\n# code\n```\n# B\n", ["A", "B"]),
        ("# A\r\n```\r\n# code\r\n```\r\n# B\r\n", ["A", "B"]),
        ("# A\n<!-- left open\n# B\n", ["A", "B"]),
        ("<!--\n# hidden\n-->\n# A\n", ["A"]),
    ],
)  # fmt: skip
def test_only_a_closed_fence_hides_headings(text: str, titles: list[str]) -> None:
    assert [title for _, _, title in outline(text)[0]] == titles


@pytest.mark.parametrize(
    "piece", ["```\n", "```a\n", "~~~x\n```\n```\n", "````\n```\n", "<!--\n", "``` a b\n"]
)
def test_fences_take_time_in_proportion(piece: str) -> None:
    assert outline(piece * 20_000 + "# End\n")[0][-1:] in ([], [(len(piece) * 20_000, 1, "End")])


@pytest.mark.parametrize(
    "source",
    [
        "title: Leave\ndays: 28\nrate: 1.5\nopen: yes\nfrom: 2026-11-27\nat: 2026-11-27 10:30:00\nnone: ~\n",
        "tags: [a, b]\nnested:\n  deep: {x: 1}\nlist:\n- one\n- 'two'\n",
        "title: Größe – “x”\nsummary: |\n  one\n  two\n",
        "a: 1\na: 2\n1: x\n\u00a0b: 3\n",
        "title: 'left open\n", "a: b: c\n", "- x\ny: z\n", "a:\tb\n", "x: 012\ny: 0x1F\nz: 1_000\nw: 1:30\n",
        "base: &b 1\nother: *b\n", "? key\n: value\n", "k: !!python/name:os.system\n",
        "key: " + "[" * 70 + "]" * 70 + "\n", "- " * 50 + "x\n", "k: " + "[" * 30_000 + "\n",
    ],
)  # fmt: skip
def test_values_and_complaints_are_those_of_pyyaml(source: str) -> None:
    def read(loader: Any) -> Any:
        try:
            return yaml.load(source, Loader=loader) if loader else plain._values(source)
        except Exception as error:
            return type(error), str(error)

    assert repr(read(None)) == repr(read(plain._NoAliases))
