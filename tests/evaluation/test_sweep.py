"""`sweep` and `rag sweep`: combinations are measured, only new texts embedded, wrong names refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rag
from rag.core.errors import ConfigError, SourceError
from rag.core.progress import Update
from rag.evaluation import compare, evaluate, sweep
from rag.evaluation.grid import settings
from rag.evaluation.statistics import holm
from tests.cli.test_main import error_of, run

TOPICS = (
    "leave", "pay", "travel", "pensions", "laptops", "badges", "parking", "training", "expenses",
    "lunch", "visitors", "alarms",
)  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for topic in TOPICS:
        body = " ".join(
            f"Rule {n} of {topic} says that staff ask their manager about {topic} in week {n}."
            for n in range(12)
        )
        (folder / f"{topic}.md").write_text(
            f"# {topic.title()}\n\n{body}\n\nMore on {topic}: call {topic}@x.\n"
        )
    return folder


@pytest.fixture
def questions(source: Path) -> list[dict]:
    rows = []
    for number, topic in enumerate(TOPICS):
        text = (source / f"{topic}.md").read_text()
        start = text.index(f"Rule {number} of")
        end = text.index(".", start) + 1
        rows.append({"id": topic, "question": f"What says rule {number} of {topic}?",
                     "evidence": [{"source": f"{topic}.md", "start": start, "end": end}]})  # fmt: skip
    return rows


BASE = {"embedder": "static"}


def test_every_combination_is_measured_best_first(
    source: Path, questions: list[dict], tmp_path: Path
) -> None:
    grid = {"chunker.max_tokens": [64, 24], "retriever.k": [1, 4, 48]}
    result = sweep(source, questions, tmp_path / "sw", grid, settings=BASE, budgets=(100, 400))
    assert {trial.name for trial in result.trials} == {
        f"chunker.max_tokens={size} retriever.k={k}" for size in (64, 24) for k in (1, 4, 48)
    }
    recalls = [trial.evaluation.metrics["recall"].mean for trial in result.trials]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] > recalls[-1]
    assert (result.headline, result.first) == ("recall", "chunker.max_tokens=64 retriever.k=1")
    first = next(trial for trial in result.trials if trial.name == result.first)
    assert first.comparison is None and first.p is None
    others = [trial for trial in result.trials if trial is not first]
    for trial in others:
        assert trial.comparison == compare(trial.evaluation, first.evaluation)
    raw = [trial.comparison.differences["recall"].p for trial in others]
    assert [trial.p for trial in others] == holm(raw)
    assert "5 settings were compared with the first on the same 12 questions" in result.notes[-1]


def test_trial_equals_a_separate_evaluation(source: Path, questions: list[dict], tmp_path: Path) -> None:
    result = sweep(source, questions, tmp_path / "sw", {"trimmer.strategy": ["sentences"], "retriever.k": [5]},
                  settings={**BASE, "chunker": {"max_tokens": 32}}, budgets=(200,))  # fmt: skip
    rag.build(source, tmp_path / "ix", embedder="static", chunker={"max_tokens": 32})
    pipe = rag.Pipeline(tmp_path / "ix", retriever={"k": 5}, trimmer={"strategy": "sentences"})
    assert result.trials[0].evaluation.metrics == evaluate(pipe, questions, budgets=(200,)).metrics


def test_only_new_texts_are_embedded(source: Path, questions: list[dict], tmp_path: Path) -> None:
    grid = {"chunker.max_tokens": [64, 24], "chunker.min_tokens": [8], "retriever.k": [4, 8]}
    alone = {}
    for size in (64, 24):
        report = rag.build(source, tmp_path / str(size), embedder="static",
                           chunker={"max_tokens": size, "min_tokens": 8})  # fmt: skip
        alone[size] = report.embedded

    def embedded(grid: dict) -> dict[str, int]:
        result = sweep(source, questions, tmp_path / "sw", grid, settings=BASE, budgets=(200,))
        return {trial.name: trial.embedded for trial in result.trials}

    once = embedded(grid)
    assert once["chunker.max_tokens=64 retriever.k=4"] == alone[64] > 0
    # Headings and some chunks are equal.
    assert 0 < once["chunker.max_tokens=24 retriever.k=4"] < alone[24]
    assert once["chunker.max_tokens=64 retriever.k=8"] == once["chunker.max_tokens=24 retriever.k=8"] == 0
    assert set(embedded(grid).values()) == {0}
    indexes = sorted((tmp_path / "sw").glob("index-*"))
    assert len(indexes) == 2
    assert not list((tmp_path / "sw").glob("index-*/cache.sqlite"))
    # Trimmer settings need no new index, and a changed file only its new texts.
    assert set(embedded({**grid, "trimmer.strategy": ["chunks", "sentences"]}).values()) == {0}
    assert sorted((tmp_path / "sw").glob("index-*")) == indexes
    with (source / "pay.md").open("a") as file:
        file.write("\nPaid on the 25th of each month, in arrears, to one account.\n")
    assert 1 <= embedded(grid)["chunker.max_tokens=64 retriever.k=4"] <= 3


def test_stopped_sweep_resumes(source: Path, questions: list[dict], tmp_path: Path) -> None:
    grid = {"chunker.max_tokens": [64, 24]}

    def stop(update: Update) -> None:
        if update.task == "2 of 2: chunker.max_tokens=24: questions":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(source, questions, tmp_path / "sw", grid, settings=BASE, progress=stop)
    assert not (tmp_path / "sw" / "sweep.json").exists()
    result = sweep(source, questions, tmp_path / "sw", grid, settings=BASE)
    assert [trial.embedded for trial in result.trials] == [0, 0]


def test_outdated_index_is_rebuilt_from_the_cache(
    source: Path, questions: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once() -> list[int]:
        result = sweep(source, questions, tmp_path / "sw", {"retriever.k": [4]}, settings=BASE)
        return [trial.embedded for trial in result.trials]

    assert once()[0] > 0
    monkeypatch.setattr(rag.SemanticChunker, "version", 99)
    assert once() == [0]


def test_writes_markdown_json_and_png(source: Path, questions: list[dict], tmp_path: Path) -> None:
    folder = tmp_path / "sw"
    result = sweep(source, questions, folder, {"retriever.k": [1, 48]}, settings=BASE, budgets=(400, 2000))
    row = json.loads((folder / "sweep.json").read_text())
    assert [trial["name"] for trial in row["trials"]] == [trial.name for trial in result.trials]
    assert row["trials"][0]["settings"] == {"retriever.k": 48}
    assert len(row["trials"][0]["evaluation"]["questions"]) == 12
    assert "questions" not in result.to_dict()["trials"][0]["evaluation"]
    shown = (folder / "sweep.md").read_text()
    assert "| setting |" in shown and "| retriever.k=48 |" in shown and "(sweep.png)" in shown
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "retriever.k=48" in result._repr_html_()


def test_gold_only_sorts_by_ndcg(source: Path, questions: list[dict], tmp_path: Path) -> None:
    rows = [{"id": r["id"], "question": r["question"], "gold": [f"{r['id']}.md"]} for r in questions]
    result = sweep(
        source, rows, tmp_path / "sw", {"retriever.mode": ["hybrid", "lexical", "dense"]}, settings=BASE, k=3
    )
    values = [trial.evaluation.metrics["ndcg@3"].mean for trial in result.trials]
    assert result.headline == "ndcg@3"
    assert values == sorted(values, reverse=True)
    assert (tmp_path / "sw" / "sweep.png").exists()


def test_other_class_drops_arguments_and_equal_settings_share_an_index() -> None:
    base = {"chunker": {"use": "semantic", "buffer_size": 3}}
    one, two = settings({"chunker.use": ["semantic", "fixed"]}, base)
    assert one.stages["chunker"] == {"use": "semantic", "buffer_size": 3}
    assert two.stages["chunker"] == {"use": "fixed"}
    assert one.index != two.index
    (plain,), (named,) = settings({}), settings({"chunker.use": ["semantic"]})
    assert (plain.name, plain.index) == ("as given", named.index)
    assert settings({"retriever.k": [1]})[0].index == plain.index


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ({"chunker.max_token": [1]}, "the chunker 'semantic' has no argument 'max_token': did you mean 'max_tokens'?"),
        ({"chunkr.max_tokens": [64]}, "there is no stage 'chunkr': did you mean 'chunker'?"),
        ({"chunker": ["fixed"]}, "chunker is a stage, not a setting: write chunker.use, for example"),
        ({"chunker.use": ["fixd"]}, "did you mean 'fixed'"),
        ({"chunker.max_tokens": [64, 2]}, "chunker.use=semantic, chunker.max_tokens=2: max_tokens is 2"),
        ({"trimmer.strategy": ["chunk"]}, "the trimmer's strategy"),
        ({"retriever.k": [0]}, "the retriever's k"),
        ({"embedder.use": ["locl"]}, "did you mean 'local'"),
        ({"generator.use": ["local"]}, "a sweep does not measure the generator"),
        ({"retriever.k": []}, "give a list of values"),
        ({"retriever.k": "48"}, "give a list of values"),
        ({"retriever.k": [4, 4]}, "4, 4 repeats a value: leave one out"),
        ({"chunker.use": ["fixed"], "chunker.min_tokens": [8]}, "the chunker 'fixed' has no argument 'min_tokens'"),
    ],
)  # fmt: skip
def test_invalid_settings_are_refused_before_any_build(
    source: Path, questions: list[dict], tmp_path: Path, grid: dict, expected: str
) -> None:
    with pytest.raises(ConfigError) as error:
        sweep(source, questions, tmp_path / "sw", grid)
    assert expected in str(error.value)
    assert not (tmp_path / "sw").exists()


def test_invalid_golden_set_is_refused_before_any_build(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no question has evidence, gold or an answer"):
        sweep(source, [{"id": 1, "question": "x"}], tmp_path / "sw", {"retriever.k": [1]})
    assert not (tmp_path / "sw").exists()


def test_command_sweeps_and_reports_quarantine(source: Path, questions: list[dict], tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in questions))
    arguments = ("sweep", source, path, tmp_path / "sw", "--set", "embedder.use=static",
                 "--set", "retriever.k=1,48", "--budgets", "400,2000")  # fmt: skip
    lines = run(*arguments).stdout.splitlines()
    assert lines[0] == "12 questions, 2 settings"
    names = ["recall", "change", "p", "(Holm)", "@400", "@2000", "chunks", "embedded", "setting"]
    assert lines[1].split() == names
    assert lines[2].split()[-1] == "retriever.k=48"
    (source / "broken.pdf").write_bytes(b"%PDF-1.4 nothing more")
    done = run(*arguments, "--json", code=3)
    row = json.loads(done.stdout)
    assert [trial["settings"] for trial in row["trials"]] == [
        {"embedder.use": "static", "retriever.k": 48}, {"embedder.use": "static", "retriever.k": 1},
    ]  # fmt: skip
    assert "quarantined: broken.pdf" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "retriever.k"], "--set retriever.k: write STAGE.NAME=A,B"),
        (["--set", "chunker.max_token=1"], "did you mean 'max_tokens'"),
        ([], "Missing option '--set'"),
        (["--set", "retriever.k=1", "--config", "nowhere.toml"], "cannot read nowhere.toml"),
    ],
)
def test_wrong_usage_exits_2(
    source: Path, questions: list[dict], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps(questions[0]))
    assert expected in error_of("sweep", source, "q.jsonl", "sw", *arguments, code=2, cwd=tmp_path)
    assert not (tmp_path / "sw").exists()


def test_trimmer_settings_pass_through(source: Path, questions: Path, tmp_path: Path) -> None:
    base = {**BASE, "trimmer": {"calibration": str(tmp_path / "tokens.json"), "unit": "tokens"}}
    result = sweep(source, questions, tmp_path / "sw", {"retriever.k": [4]}, settings=base, budgets=(100,))
    assert len(result.trials) == 1
