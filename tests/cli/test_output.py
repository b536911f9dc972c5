"""What is printed for a person: a terminal obeys nothing that a document holds."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from rag.cli import main, output
from rag.cli.terminal import json_text
from rag.core.files import Quarantined

#: What no output may hold, but the escapes that colour it, of which there are none where it is captured.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
EVIL = "\x1b]52;c;ZXZpbA==\x07 \x9b2J \u202egnp.exe\u202c \u2066\x7f\x08\r"


def test_control_characters_are_drawn_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a\x1b]0;owned\x07b\x9b31m\nc\x00")
    assert capsys.readouterr().out == "a\ufffd]0;ownedb\ufffd31m\nc\ufffd\n"


def test_names_of_files_are_text_too(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_warnings((), [Quarantined("a\x1b[2J.pdf", "is damaged", "repair it")])
    assert capsys.readouterr().err == "quarantined: a\ufffd[2J.pdf is damaged; repair it\n"


def test_styles_stay_where_they_were() -> None:
    text = output.Text.assemble(("a\x1b", "bold"), "b")
    output._OUT.print(text)
    assert [(span.start, span.end) for span in text.spans] == [(0, 2)]


@pytest.mark.parametrize(
    "text", ["\u202egnp", "\u2066a\u2069", "\x9b2J", "\x7f", "\u2028x", "\ud800", "\U000e0041"]
)
def test_directions_separators_and_halves_of_pairs_are_drawn_too(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.say(f"a{text}")
    shown = capsys.readouterr().out
    assert shown.startswith("a\ufffd")
    assert len(shown) == len(text) + 2


def test_texts_of_other_scripts_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    text = "שלום\u200f! العربية\u200e — 日本語 👩\u200d👩\u200d👧 na\u00adive"
    output.say(text)
    assert capsys.readouterr().out == text + "\n"


def test_json_escapes_what_a_terminal_obeys_and_stays_exact() -> None:
    value = {"text": f"é{EVIL}日本\n\ud800", f"k{EVIL}": [1.5, None]}
    for indent in (None, 2):
        text = json_text(value, indent)
        assert json.loads(text) == value
        assert OBEYED.findall(text) == []
        assert "é" in text


def test_a_name_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_quarantined("ix", [Quarantined("a\n0 files in quarantine", "is damaged", "repair it")])
    output.show_warnings(["x\nrag: done"], [Quarantined("b\nok", "is damaged", "repair it")])
    out, err = capsys.readouterr()
    assert out == "ix: 1 file in quarantine\n\nrepair it:\n  a\ufffd0 files in quarantine is damaged\n"
    assert err == "note: x\ufffdrag: done\nquarantined: b\ufffdok is damaged; repair it\n"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose names, texts, headings and metadata hold escape sequences."""
    folder = tmp_path_factory.mktemp("hostile") / f"docs{EVIL.replace('/', '')}"
    (folder / "su\x1b[31mb").mkdir(parents=True)
    front = '---\ntitle: "\\e[2J\\u202e"\n"te\\eam": "x\\e[0m"\nversion: "\\x9b1"\n---\n'
    text = f"{front}# Leave {EVIL}\n\nParental leave is 18 weeks {EVIL}.\n"
    (folder / "a\x1b]0;OWNED\x07\u202e.md").write_text(text)
    (folder / "su\x1b[31mb" / "b\nforged line.md").write_text(f"Trains {EVIL} are booked in second class.")
    (folder / "e\x1b[31m\n.pdf").write_bytes(b"%PDF-1.7\n\x00junk")
    return folder


def test_no_command_lets_a_document_speak_to_the_terminal(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that any command prints, with --json and without, errors included."""
    monkeypatch.chdir(tmp_path)
    index, source, golden = f"ix{EVIL}", str(hostile), tmp_path / "golden.jsonl"
    name = "a\x1b]0;OWNED\x07\u202e.md"
    golden.write_text(json.dumps({"id": EVIL, "question": f"leave {EVIL}", "gold": [name]}) + "\n")
    where = f"source == {name!r}"
    commands = [
        ["build", source, index, "--embedder", "static"], ["plan", source, index, "--embedder", "static"],
        ["search", index, f"leave {EVIL}"], ["context", index, "parental leave", "--where", where],
        ["ask", index, "How long is parental leave?"], ["explain", index, "trains", "--expect", "18 weeks"],
        ["explain", index, "trains", "--expect", f"nowhere {EVIL}"], ["quarantine", index], ["info", index],
        ["verify", index], ["versions", index], ["diff", index, "1"], ["cost", index], ["cache", "info", index],
        ["eval", index, str(golden)], ["golden", "check", str(golden), index], ["search", index, "x", "--where", f"te{EVIL} == 1"], ["batch", "status", index],
        ["search", EVIL, "x"], ["build", EVIL, "out"], ["search", index, "x", "--mode", EVIL], [EVIL],
        ["search", index, "x", "--config", EVIL], ["rollback", index, "1"], ["prune", index], ["compact", index],
        ["upgrade", index], ["build", source, index, "--embedder", f"st{EVIL}"],
        ["golden", "suggest", index], ["golden", "accept", str(golden), EVIL], ["golden", "accept", str(golden), "x"],
        ["cost", index, "--since", EVIL], ["ask", index, "x", "--generator", EVIL],
    ]  # fmt: skip
    as_json = [command for command in commands[1:16] if command[0] not in ("build",)]
    codes = []
    for command in [*commands, *([*command, "--json"] for command in as_json)]:
        monkeypatch.setattr(sys, "argv", ["rag", *command])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        assert OBEYED.findall(out + err) == [], command
        assert not re.search("^forged line", out + err, re.MULTILINE), command
        if "--json" in command and ended.value.code in (0, 3):
            json.loads(out)
        codes.append(ended.value.code)
    assert codes[:2] == [3, 3]
    assert codes[2:7] + codes[9:15] == [0] * 11
