"""A gate's outcome for a pull request (Markdown) and for a build server (JUnit's XML)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from rag.evaluation import explaining
from rag.evaluation.gate import Gate, Lost

#: Most questions that are listed.
MOST = 20


def explain_command(index: str, version: int, lost: Lost) -> str:
    """Return the command that shows where a question's evidence was lost; empty where none was."""
    if not lost.expect:
        return ""
    return explaining.explain_command(
        index, lost.question, lost.expect[0], lost.where, ["--version", str(version)]
    )


def markdown(gate: Gate) -> str:
    """Return the outcome as Markdown."""
    return "\n".join(_lines(gate)) + "\n"


def _lines(gate: Gate) -> Iterator[str]:
    yield f"## Gate {'passed' if gate.passed else 'FAILED'}: {_text(gate.name)}, version {gate.version}"
    yield ""
    for reason in gate.reasons:
        yield f"- {_text(reason)}"
    for table in gate.tables():
        yield f"\n{table.to_markdown().rstrip()}"
    for title, rows in (
        ("Canaries that are not right", gate.canaries),
        ("Questions that were lost", gate.lost),
    ):
        if rows:
            yield f"\n### {title} ({len(rows)})\n"
            yield from (f"- `{each.id}` {_text(each.question)}: {_text(each.why)}" for each in rows[:MOST])
            if len(rows) > MOST:
                yield f"- and {len(rows) - MOST} more"
    if gate.flaky:
        yield f"\nFlaky, as runs differ: {', '.join(f'`{each}`' for each in gate.flaky)}"
    for note in gate.notes:
        yield f"\n{_text(note)}"


def _text(value: str) -> str:
    """Return a text of documents or users such that Markdown shows it and does nothing with it."""
    flat = " ".join(value.split())
    for char in "\\`*_[]<>#|!":
        flat = flat.replace(char, f"\\{char}" if char not in "<>" else {"<": "&lt;", ">": "&gt;"}[char])
    return flat


def junit(gate: Gate) -> str:
    """Return the outcome as JUnit's XML: a test case for each limit, test and canary."""
    suite = ElementTree.Element("testsuite", name=f"rag gate {_xml(gate.name)}")
    cases = [(f"limit {each.metric} {'>=' if each.least else '<='} {each.bound:g}", each.passed, str(each))
             for each in gate.limits]  # fmt: skip
    cases += [(f"not worse {each.metric}", each.passed, str(each)) for each in gate.tests]
    cases += [(f"canary {each.id}", False, each.why) for each in gate.canaries]
    for name, passed, text in cases:
        case = ElementTree.SubElement(suite, "testcase", classname="rag.gate", name=_xml(name))
        if not passed:
            ElementTree.SubElement(case, "failure", message=_xml(text)).text = _xml(_details(gate))
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(not passed for _, passed, _ in cases)))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _details(gate: Gate) -> str:
    return "\n".join(f"{each.id}: {each.question}: {each.why}" for each in gate.lost[:MOST])


def _xml(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot hold."""
    return "".join(
        char if char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
        else "\N{REPLACEMENT CHARACTER}" for char in text
    )  # fmt: skip
