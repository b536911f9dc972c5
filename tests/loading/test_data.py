"""Delimited text, JSON with faults, XML with attributes, notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import LoadError
from rag.loading.formats.data import parse_json, parse_jsonl, parse_xml
from rag.loading.formats.delimited import parse_delimited
from rag.loading.formats.notebook import parse_notebook
from rag.loading.structure import Options, Parsed


def rows_of(text: str, name: str = "a.csv") -> list[list[str]]:
    """All rows of all tables, heads too."""
    parsed = parse_delimited(Path(name), text.encode(), Options())
    lines = [line for line in parsed.text.split("\n") if line and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('id,name,note\n1,"Smith, John","tea, coffee"\n2,Pipe 5" wide,plain\n3,"Doe, Jane","multi\nline"\n',
         [["id", "name", "note"], ["1", "Smith, John", "tea, coffee"], ["2", 'Pipe 5" wide', "plain"], ["3", "Doe, Jane", "multi line"]]),
        ('a,b,c\n1,"5 inch,plain\n3,"Doe, Jane",x\n', [["a", "b", "c"], ["1", '"5 inch', "plain"], ["3", "Doe, Jane", "x"]]),
        ('a,b\n1,"never closed\n2,y\n3,z\n', [["a", "b"], ["1", '"never closed'], ["2", "y"], ["3", "z"]]),
        ('a,b\n1,"He said "hi, there" loudly"\n2,"x"\n', [["a", "b"], ["1", 'He said "hi, there" loudly'], ["2", "x"]]),
        ('a, "b, c", d\n1, "x, y", z\n', [["a", "b, c", "d"], ["1", "x, y", "z"]]),
        ('a,b\n1,"x, y" \n2,"z" \n', [["a", "b"], ["1", "x, y"], ["2", "z"]]),
        ('a,b\n1,"say ""5"""\n2,"open\n', [["a", "b"], ["1", 'say "5"'], ["2", '"open']]),
        ('a;b\n1,5;"x;y"\n2;3" pipe\n', [["a", "b"], ["1,5", "x;y"], ["2", '3" pipe']]),
        ('a,b\n"x,"\n"y","z"\n', [["a", "b"], ["x,", ""], ["y", "z"]]),
        ("a,b\r1,2\r3,4\r", [["a", "b"], ["1", "2"], ["3", "4"]]),
    ],
)  # fmt: skip
def test_a_stray_quote_costs_no_other_field(text: str, rows: list[list[str]]) -> None:
    assert rows_of(text) == rows


def test_tabs_part_fields_with_odd_quotes_too() -> None:
    assert rows_of('a\tb\n1\t5" x\n2\t"q\n3\tz\n', "a.tsv") == [
        ["a", "b"],
        ["1", '5" x'],
        ["2", '"q'],
        ["3", "z"],
    ]


@pytest.mark.parametrize("piece", ['"x,y\n', 'a,"b\n', '"', '" ,', '"a"b', ',\n "', 'a,"b c "b '])
def test_quotes_take_time_in_proportion(piece: str) -> None:
    assert '"' in parse_delimited(Path("a.csv"), (piece * 5_001).encode(), Options()).text or piece == '"'


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("id,name\n1,Ann\n\n2,Bob\n3,Cy\n", 1),
        ("id,name\n1,Ann\n,\n2,Bob\n", 1),
        ("id,name,x\n1,Ann,\n,,\n\n3,Cy,\n", 1),
        ("name,age\nAnn,3\n\nBob,4\n", 1),
        ("a,b\n1,2\n\nc,d,e\n3,4,5\n", 2),
        ("name,age\nAnn,3\n\ncity,size\nOslo,7\n", 2),
        ("Report\n\na,b\n1,2\n", 1),
    ],
)
def test_a_blank_line_ends_no_table(text: str, tables: int) -> None:
    parsed = parse_delimited(Path("a.csv"), text.encode(), Options())
    assert len(parsed.tables) == parsed.text.count("\n| --- |") == tables
    assert len(rows_of(text)) == sum(bool(line.strip(",")) for line in text.split("\n"))


def read(parser: Any, text: str) -> Parsed:
    parsed: Parsed = parser(Path("a"), text.encode(), Options())
    return parsed


@pytest.mark.parametrize(
    ("text", "read_as", "note"),
    [
        ('{\n // c\n "a": 1 /* x */, "u": "http://x//y /* no */",\n "l": [1, 2,],\n}', "a: 1\nu: http://x//y /* no */\nl: 1, 2", "comments (2)"),
        ('// first\n{"a": "// no"}', "a: // no", "comments (1)"),
        ('{"a": ",}", "b": "\\",]",}', 'a: ,}\nb: ",]', None),
        ('{"a": 1}\n{"b": 2}\n', "a: 1\n\nb: 2", None),
        ('{\n"a": 1\n}\n{\n"b": 2\n}\n', "a: 1\n\nb: 2", None),
        ('{"a": "x\ty"}', "a: x\ty", None),
        ('\ufeff{"a": 1}', "a: 1", None),
    ],
)  # fmt: skip
def test_json_with_comments_and_commas_too_many_is_read(text: str, read_as: str, note: str | None) -> None:
    parsed = read(parse_json, text)
    assert parsed.text == read_as
    assert [note in one for one in parsed.notes] == ([True] if note else [])  # type: ignore[operator]


@pytest.mark.parametrize("parser", [parse_json, parse_jsonl])
@pytest.mark.parametrize(
    ("text", "read_as", "which"),
    [
        ('{"a": 1}\n{bad}\n{"b": 2}\n', "a: 1\n\nb: 2", "line 2"),
        ('{"a": 1}\r\n\r\n{"b": 2}\r\n{"cut": "hel', "a: 1\n\nb: 2", "line 4"),
        ('oops\n{"a": 1}\n{"b": 2}\nagain', "a: 1\n\nb: 2", "line 1, 4"),
    ],
)
def test_a_wrong_line_of_json_lines_costs_itself(parser: Any, text: str, read_as: str, which: str) -> None:
    parsed = read(parser, text)
    assert parsed.text == read_as
    assert f"left out ({which})" in parsed.notes[0]


@pytest.mark.parametrize("text", ['{"a": 1,\n "b": }', "[1, 2", "/* open", '{"a": 1} more', "words"])
def test_json_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LoadError, match="is not JSON"):
        read(parse_json, text)


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ('<c><p sku="P-77" price="19.90">Valve <i>brass</i></p></c>', "p (sku P-77, price 19.90): Valve brass"),
        ('<p>See <ref id="R9">this</ref> and <img src="x.png"/> now</p>', "See this (id R9) and (src x.png) now"),
        ('<r a="1"><p b="2">t <i c="3"><b d="4">u</b></i></p></r>', "r (a 1)\n\np (b 2): t u (d 4) (c 3)"),
        ('<r xmlns:x="u"><p x:k="v">a<br/>b</p></r>', "p (k v): ab"),
    ],
)  # fmt: skip
def test_attributes_of_mixed_elements_are_in_the_text(text: str, read_as: str) -> None:
    assert read(parse_xml, text).text == read_as


PICTURE = "iVBORw0KGgo" * 40


def notebook(*cells: dict[str, Any], **more: Any) -> str:
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4, **more}
    )


def test_a_notebook_is_prose_code_and_results_without_pictures() -> None:
    parsed = read(parse_notebook, notebook(
        {"cell_type": "markdown", "source": ["# Sales\n", "![x](attachment:a.png)"], "attachments": {"a.png": {"image/png": PICTURE}}},
        {"cell_type": "code", "source": "print(total)", "outputs": [
            {"output_type": "stream", "text": ["42\n", "done\n"]},
            {"output_type": "display_data", "data": {"image/png": PICTURE, "text/plain": "<Figure>"}},
            {"output_type": "error", "ename": "ValueError", "evalue": "no data", "traceback": ["\x1b[31mx"]},
        ]},
        {"cell_type": "markdown", "source": f"## Chart\n<img src=\"data:image/png;base64,{PICTURE}\">"},
        {"cell_type": "code", "source": "df", "outputs": [{"output_type": "execute_result", "data": {
            "text/html": "<table><tr><th>k<th>v<tr><td>a<td>1</table>", "text/plain": "k v"}}]},
    ))  # fmt: skip
    assert parsed.text == (
        "# Sales\n![x](attachment:a.png)\n\n```python\nprint(total)\n```\n\n```\n42\ndone\n```\n\n```\n<Figure>\n```\n\n"
        '```\nValueError: no data\n```\n\n## Chart\n<img src="">\n\n```python\ndf\n```\n\n'
        "| k | v |\n| --- | --- |\n| a | 1 |"
    )
    assert [title for _, _, title in parsed.headings] == ["Sales", "Chart"]
    assert len(parsed.tables) == 1 and parsed.notes == ["read without its pictures (3)"]


def test_old_and_odd_notebooks_are_read() -> None:
    old = {"worksheets": [{"cells": [
        {"cell_type": "heading", "level": 2, "source": ["Old"]},
        {"cell_type": "code", "input": ["x = 1"], "outputs": [{"output_type": "pyout", "text": ["1"], "png": PICTURE}]},
    ]}]}  # fmt: skip
    assert read(parse_notebook, json.dumps(old)).text == "## Old\n\n```\nx = 1\n```\n\n```\n1\n```"
    assert read(parse_notebook, '{"other": "json"}').text == "other: json"
    assert (
        read(
            parse_notebook, notebook({"cell_type": "raw", "source": "a ``` b"}, {}, {"cell_type": "code"})
        ).text
        == "a ``` b"
    )
    with pytest.raises(LoadError, match="is not a notebook"):
        read(parse_notebook, "{")
