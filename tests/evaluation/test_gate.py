"""Gates: limits, paired tests with what they can see, canaries, files for build servers, and promotions."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import rag
from rag.config.gate import settings
from rag.core.errors import ConfigError, SourceError, UsageError
from rag.evaluation.gate import Gate, gate, smallest_loss
from rag.evaluation.gate_report import junit, markdown
from rag.evaluation.gate_values import measure
from rag.evaluation.measured import Asked, Measured, read_baseline
from rag.evaluation.promotion import judge, promote_if_passed
from tests.command import run
from tests.evaluation.conftest import write

TEXTS = {
    f"topic{n}": f"# Topic {n}\n\nThe {name} is kept for {n + 3} years.\n"
    for n, name in enumerate("ledger archive contract invoice payroll badge visa lease patent permit".split())
}
GOLDEN = [
    {"id": name, "question": f"How long is the {text.split()[4]} kept?", "gold": [f"{name}.md"],
     "evidence": [{"source": f"{name}.md", "start": text.index("The"), "end": len(text) - 1}],
     "numbers": [{"value": n + 3, "unit": "years"}]}
    for n, (name, text) in enumerate(TEXTS.items())
]  # fmt: skip


def values(name: str = "ix", version: int = 1, **columns: Mapping[str, float]) -> Measured:
    """Measured values: for each metric a mapping of question to value."""
    ids = dict.fromkeys(key for column in columns.values() for key in column)
    asked = {
        key: Asked(f"what is {key}?", None, key, {m: column[key] for m, column in columns.items() if key in column})
        for key in ids
    }  # fmt: skip
    return Measured(name, version, "", asked)


def column(*shares: float) -> dict[str, float]:
    return {f"q{n}": share for n, share in enumerate(shares)}


def test_limits_are_of_means_and_quantiles() -> None:
    measured = values(recall=column(1, 0.5, 0.9), seconds=column(1, 2, 9), usd=column(0.1, 0.2, 0.3))
    found = gate(measured, least={"recall": 0.8, "correct": 0.5}, most={"seconds.p95": 8, "usd": 0.2})
    assert [(each.metric, each.passed) for each in found.limits] == [
        ("recall", True), ("correct", False), ("seconds.p95", False), ("usd", True),
    ]  # fmt: skip
    assert not found.passed and found.reasons == [
        "no question has correct, of which at least 0.5 is asked for",
        "seconds.p95 is 8.3, at most 8 is asked for",
    ]
    assert gate(measured, least={"recall": 0.8}).passed


def test_refused_and_responded_are_of_their_questions() -> None:
    measured = values(answered=column(1, 0, 1, 1), answerable=column(1, 1, 0, 0))
    found = gate(measured, least={"refused": 1.0, "responded": 0.5, "answered": 0.75})
    assert found.passed and [each.mean.count for each in found.limits if each.mean] == [2, 2, 4]


def test_a_broken_limit_names_the_lowest_questions() -> None:
    found = gate(values(recall=column(1, 0.2, 0.6)), least={"recall": 0.9})
    assert [(each.id, each.why) for each in found.lost] == [
        ("q1", "recall is 0.20"),
        ("q2", "recall is 0.60"),
    ]


def test_a_test_finds_what_chance_does_not_explain() -> None:
    before = values(recall=column(*[1.0] * 20))
    found = gate(values(recall=column(*[0.0] * 6, *[1.0] * 14)), baseline=before, against=["recall"])
    (test,) = found.tests
    assert (test.loss.mean, test.p, found.passed) == (0.3, 2**-6, False)
    assert [each.id for each in found.lost] == [f"q{n}" for n in range(6)]
    found = gate(values(recall=column(*[0.0] * 4, *[1.0] * 16)), baseline=before, against=["recall"])
    assert (found.tests[0].p, found.passed) == (2**-4, True)
    assert gate(before, baseline=values(recall=column(*[0.0] * 20)), against=["recall"]).tests[0].p == 1.0


def test_several_tests_are_corrected_together() -> None:
    before = values(recall=column(*[1.0] * 9), correct=column(*[1.0] * 9))
    now = values(recall=column(*[0.0] * 5, *[1.0] * 4), correct=column(*[1.0] * 9))
    assert not gate(now, baseline=before, against=["recall"]).passed
    found = gate(now, baseline=before, against=["recall", "correct"])
    assert [test.p for test in found.tests] == [2 * 2**-5, 1.0] and found.passed


def test_of_costs_more_is_worse() -> None:
    before, now = values(seconds=column(*[1.0] * 8)), values(seconds=column(*[2.0] * 8))
    assert gate(now, baseline=before, against=["seconds"]).tests[0].p == 2**-8
    assert gate(before, baseline=now, against=["seconds"]).passed


def test_the_smallest_loss_is_one_that_is_found() -> None:
    """Five questions of which each loses all: with a tenth of that the test says nothing."""
    assert smallest_loss([0.0] * 50, 0.05) == 0.1
    spread = [0.5, -0.5] * 50
    expected = (1.6449 + 0.8416) * 0.5025 / 10
    assert smallest_loss(spread, 0.05) == pytest.approx(expected, abs=1e-3)
    chance, loss = random.Random(1), smallest_loss(spread, 0.05)
    found = 0
    for _ in range(200):
        now = [-chance.choice((0.5, -0.5)) - loss for _ in range(100)]
        shares = dict(zip(column(*[0.0] * 100), now, strict=True))
        found += not gate(values(recall=shares), baseline=values(recall=dict.fromkeys(shares, 0.0)),
                          against=["recall"]).passed  # fmt: skip
    assert 0.7 < found / 200 < 0.9  # power 0.8, 3.5 standard errors


def test_gates_without_a_change_fail_as_rarely_as_stated() -> None:
    """Answers that vary by chance alone, 400 gates of three metrics each."""
    chance, failed = random.Random(2), 0
    names = ("correct", "supported", "recall")
    for _ in range(400):
        first, second = (
            values(**{m: column(*(float(chance.random() < 0.8) for _ in range(60))) for m in names})
            for _ in range(2)
        )
        failed += not gate(second, baseline=first, against=names).passed
    assert failed / 400 < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_questions_that_changed_are_not_compared() -> None:
    before, now = values(recall=column(1, 1, 1)), values(recall=column(0, 0, 0, 0))
    changed = Measured("ix", 2, "", {**now.questions, "q1": Asked("else", None, "else", {"recall": 0.0})})
    found = gate(changed, baseline=before, against=["recall"])
    assert found.tests[0].loss.count == 2
    assert found.notes[0].startswith("2 of 4 questions are compared")
    with pytest.raises(UsageError, match="have no question with correct in common"):
        gate(now, baseline=before, against=["correct"])


def test_canaries_must_all_be_right() -> None:
    canary = values(correct=column(1, 0), recall=column(1, 1))
    found = gate(values(recall=column(1)), canary=canary)
    assert not found.passed and found.reasons == ["canary q1: correct is 0.00"]
    assert gate(values(recall=column(1)), canary=values(recall=column(1, 1))).passed


@pytest.mark.parametrize(
    ("metric", "hint"),
    [("recal", "did you mean 'recall'"), ("recall@x", "did you mean 'recall'"), ("refuse", "did you mean 'refused'"),
     ("seconds.p42", "no metric 'seconds.p42'")],
)  # fmt: skip
def test_a_wrong_metric_is_named(metric: str, hint: str) -> None:
    with pytest.raises(UsageError, match="a gate knows no metric") as error:
        gate(values(recall=column(1)), least={metric: 1.0})
    assert hint in str(error.value)
    with pytest.raises(UsageError, match="needs a limit"):
        gate(values(recall=column(1)))


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    measured = values(recall=column(1, 0.25), correct=column(0, 1))
    measured.write(tmp_path / "base.json")
    read = read_baseline(tmp_path / "base.json")
    assert read.values("recall") == measured.values("recall") and read.version == 1
    assert "what is" not in (tmp_path / "base.json").read_text()
    (tmp_path / "bad.json").write_text('{"format": 9}')
    with pytest.raises(SourceError, match=r"is no baseline .its format is 9, not 1.: write one with"):
        read_baseline(tmp_path / "bad.json")
    with pytest.raises(SourceError, match="cannot read"):
        read_baseline(tmp_path / "none.json")


def hostile() -> Gate:
    asked = Asked("a | b <script>\x1b[2J\n## x", None, "t", {"recall": 0.0}, faults=("`x`",))
    return gate(Measured("ix", 3, "", {"q": asked}), least={"recall": 1.0})


def test_reports_show_texts_and_do_nothing_with_them() -> None:
    text = markdown(hostile())
    assert (
        text.startswith("## Gate FAILED: ix, version 3\n") and "<script>" not in text and "\n## x" not in text
    )
    suite = ElementTree.fromstring(junit(hostile()))
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.get("message") == "recall is 0, at least 1 is asked for"
    passed = ElementTree.fromstring(junit(gate(values(recall=column(1)), least={"recall": 1.0})))
    assert passed.get("failures") == "0" and passed.find("testcase/failure") is None


# ------------------------------------------------------------------------- measured


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "docs" / f"{name}.md").write_text(text)
    return tmp_path / "docs"


def pipe(path: Path, version: int | None = None, **stages: Any) -> rag.Pipeline:
    return rag.Pipeline(rag.Index.open(path, version=version), trimmer={"budget": 200}, **stages)


def test_retrieval_and_answers_are_measured_as_asked(docs: Path, tmp_path: Path) -> None:
    rag.build(docs, tmp_path / "ix", embedder="static")
    found = measure(pipe(tmp_path / "ix"), GOLDEN, ["recall@100", "ndcg@3"])
    assert found.mean("recall@100") and found.mean("ndcg@3") and found.mean("correct") is None
    found = measure(pipe(tmp_path / "ix"), GOLDEN, ["correct", "responded"], runs=2)
    assert found.mean("recall@100") is None and found.mean("correct").count == 10  # type: ignore[union-attr]
    assert not any(asked.flaky for asked in found.questions.values())


def test_questions_whose_runs_differ_are_flaky(docs: Path, tmp_path: Path) -> None:
    from langchain_core.language_models import FakeListChatModel

    rag.build(docs, tmp_path / "ix", embedder="static")
    model = FakeListChatModel(responses=["It is 3 years.", "It is 9 years."])
    found = measure(pipe(tmp_path / "ix", generator=model), GOLDEN[:1], ["correct"], runs=4, parallel=1)
    assert found.questions["topic0"].flaky and found.questions["topic0"].values["correct"] == 0.5
    assert gate(found, least={"correct": 0.4}).flaky == ("topic0",)


# ------------------------------------------------------------------------- promotions


def test_a_worse_version_is_held_back_and_readers_stay(docs: Path, tmp_path: Path) -> None:
    golden, path = write(tmp_path / "golden.jsonl", GOLDEN), tmp_path / "ix"
    done = run("build", docs, path, "--embedder", "static", "--gate", golden)
    assert "the gate is passed" in done.stdout and rag.Index.open(path).version == 1
    for name in list(TEXTS)[:6]:
        (docs / f"{name}.md").unlink()
    done = run("build", docs, path, "--gate", golden, code=4)
    assert rag.Index.open(path).version == 1
    assert "recall is worse by 0.600" in done.stdout and f"rag promote {path} 2" in done.stdout
    assert "--expect topic0.md:" in done.stdout and "--version 2" in done.stdout
    assert "held back: recall is worse" in run("versions", path).stdout
    report = json.loads(run("build", docs, path, "--gate", golden, "--json", code=4).stdout)
    assert (report["version"], report["embedded"], report["gate"]["passed"]) == (3, 0, False)
    run("promote", path, 3, "--because", "they moved")
    assert rag.Index.open(path).version == 3
    (docs / "new.md").write_text("# New\n\nSomething else.\n")
    assert "version 4 is current now" in run("build", docs, path, "--gate", golden).stdout
    assert "nothing" in run("build", docs, path, "--gate", golden).stdout or rag.Index.open(path).version == 4


def test_a_first_version_must_reach_its_limits(docs: Path, tmp_path: Path) -> None:
    golden = write(tmp_path / "golden.jsonl", [*GOLDEN, {"id": "x", "question": "x", "gold": ["gone.md"]}])
    toml = f'[gate]\ngolden = "{golden}"\nmin = {{"source_recall@10" = 0.99}}\n'
    (tmp_path / "rag.toml").write_text(toml)
    words = (
        "build",
        docs,
        tmp_path / "ix",
        "--embedder",
        "static",
        "--config",
        tmp_path / "rag.toml",
        "--gate",
    )
    assert "source_recall@10 is 0.9091, at least 0.99" in run(*words, code=4).stdout
    assert "there is no index" in run("info", tmp_path / "ix", code=2).stderr
    (tmp_path / "rag.toml").write_text(toml.replace("0.99", "0.9"))
    run(*words)
    assert rag.Index.open(tmp_path / "ix").version == 2


def test_what_becomes_current_meanwhile_wins(docs: Path, tmp_path: Path) -> None:
    path = tmp_path / "ix"
    rag.build(docs, path, embedder="static")
    (docs / "new.md").write_text("# New\n\nSomething else.\n")
    version = rag.build(docs, path, hold=True).version

    def opened(number: int | None) -> rag.Pipeline:
        if number == version:
            rag.Store(path).edit("source == 'topic1.md'", {"year": 2024})
        return pipe(path, number)

    asked = settings({"golden": str(write(tmp_path / "golden.jsonl", GOLDEN))})
    with pytest.raises(UsageError, match="lacks its changes: build again"):
        promote_if_passed(rag.Store(path), version, asked, opened)
    assert rag.Index.open(path).version == 3


def test_killed_between_its_steps_readers_stay(docs: Path, tmp_path: Path) -> None:
    """Built and judged, but not promoted: the next build goes on, with vectors from the cache."""
    path, golden = tmp_path / "ix", write(tmp_path / "golden.jsonl", GOLDEN)
    rag.build(docs, path, embedder="static")
    (docs / "new.md").write_text("# New\n\nSomething else.\n")
    rag.build(docs, path, hold=True)
    assert judge(settings(str(golden)), pipe(path, 2), pipe(path))[0].passed
    assert rag.Index.open(path).version == 1
    assert "version 3 is current now" in run("build", docs, path, "--gate", golden).stdout
    assert [(each.number, each.held) for each in rag.Store(path).versions()] == [(1, False), (3, False)]


def test_the_command(docs: Path, tmp_path: Path) -> None:
    path, golden = tmp_path / "ix", write(tmp_path / "golden.jsonl", GOLDEN)
    rag.build(docs, path, embedder="static")
    base, xml, md = (tmp_path / name for name in ("base.json", "gate.xml", "gate.md"))
    run("gate", path, golden, "--write-baseline", base)
    done = run("gate", path, golden, "--baseline", base, "--min", "recall=0.9,responded=0", "--junit", xml,
               "--markdown", md, "--json")  # fmt: skip
    found = json.loads(done.stdout)
    assert found["passed"] and found["limits"][0]["metric"] == "recall"
    assert ElementTree.parse(xml).getroot().get("failures") == "0" and md.read_text().startswith(
        "## Gate passed"
    )
    assert "usd is" in run("gate", path, golden, "--min", "usd=1", code=4).stdout
    assert "write METRIC=NUMBER" in run("gate", path, golden, "--min", "recall", code=2).stderr
    assert "needs a limit" in run("gate", path, golden, code=2).stderr
    assert "names no golden set" in run("build", docs, path, "--gate", code=2, cwd=tmp_path).stderr


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="the gate has no setting 'mins': did you mean 'min'"):
        settings({"mins": {}})
    with pytest.raises(ConfigError, match=r"the gate's alpha is a number between 0 and 0.5"):
        settings({"alpha": 1})
    assert settings("golden.jsonl").golden == "golden.jsonl"
