"""The explorer without a browser: a real index, real stages, and a model that must not be asked unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever

import rag
from rag.core.errors import MissingExtraError, UsageError, WhereError
from rag.evaluation.golden_set import read
from rag.notebook.explorer import golden
from rag.notebook.explorer import open as opening
from rag.notebook.explorer.model import Explorer
from rag.notebook.explorer.open import model_of
from tests.notebook.objects import HOSTILE, Markup

LEAVE = "How many days of annual leave in Europe?"


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> rag.Index:
    rag.build(folder, tmp_path / "ix", embedder="static")
    return rag.Index.open(tmp_path / "ix")


def replies(model: Explorer, do: str = "look", **parts: Any) -> dict[str, Any]:
    """Return the replies of a message by kind; `look` takes the settings."""
    serial, side = parts.pop("serial", 1), parts.pop("side", "A")
    if do == "look":
        pay = parts.pop("pay", False)
        message = {
            "do": "look",
            "side": side,
            "serial": serial,
            "settings": {"question": LEAVE, **parts},
            "pay": pay,
        }
    else:
        message = {"do": do, "side": side, **({} if do == "drop" else {"serial": serial}), **parts}
    got = list(model.replies(message))
    json.dumps(got)  # what is sent can be sent
    assert all(each["side"] == side and each["serial"] == serial for each in got if each["kind"] != "form")
    return {each["kind"]: each for each in got}


def test_a_question_has_hits_a_context_and_an_answer_with_its_citation(index: rag.Index) -> None:
    model = model_of(index)
    got = replies(model)
    assert [*got] == ["filter", "hits", "context"]
    assert "28 <mark>days</mark> of <mark>annual" in got["hits"]["html"]
    assert got["context"]["fates"][0] == "kept"
    assert got["filter"] | {"side": "", "serial": 0} == {
        "kind": "filter", "where": "", "rows": [], "matches": len(index), "of": len(index), "form": False, "side": "",
        "serial": 0,
    }  # fmt: skip
    answer = replies(model, "answer")["answer"]
    assert "28 days" in answer["html"] and 'class="cite"' in answer["html"] and answer["paid"] is False
    assert model.sides["A"].answer is not None and model.sides["A"].hits[0].source == "leave.md"


def test_a_filter_of_the_form_and_of_the_string_are_the_same_filter(index: rag.Index) -> None:
    model = model_of(index)
    rows = [{"field": "region", "op": "==", "value": "us", "upto": ""}]
    by_form, by_string = replies(model, rows=rows), replies(model, where="region == 'us'")
    assert by_form["filter"]["where"] == by_string["filter"]["where"] == "region == 'us'"
    assert by_string["filter"]["rows"] == rows and by_form["filter"]["form"]
    assert {hit.source for hit in model.sides["A"].hits} == {"leave-us.md"}
    assert by_form["filter"]["matches"] == index.count("region == 'us'") < len(index)


def test_a_wrong_filter_is_the_errors_line_and_leaves_the_results(index: rag.Index) -> None:
    model = model_of(index)
    replies(model, serial=1)
    got = replies(model, serial=2, where="regoin == 'us'")
    assert got["error"]["text"] == "no document has a field 'regoin': did you mean 'region'?"
    assert model.sides["A"].serial == 1 and replies(model, "answer", serial=1)["answer"]


def test_modes_weights_k_and_budgets_hold(index: rag.Index) -> None:
    model = model_of(index)
    replies(model, k=1)
    assert len(model.sides["A"].hits) == 1
    replies(model, budget=40)
    assert model.sides["A"].context is not None and model.sides["A"].context.used <= 40
    replies(model, budget=12, unit="tokens")
    assert (model.sides["A"].context.unit, model.sides["A"].context.budget) == ("tokens", 12)
    scores = []
    for weight in (0.0, 4.0):
        replies(model, lexical_weight=weight)
        scores.append(model.sides["A"].hits[0].score)
    assert scores[0] < scores[1]
    replies(model, mode="lexical")
    assert model.sides["A"].hits[0].dense is None
    assert model.pipe.retriever.lexical_weight == 1.0  # the user's own stages stay as they are


def test_two_sides_and_their_difference(index: rag.Index) -> None:
    model = model_of(index)
    replies(model)
    got = replies(model, side="B", mode="lexical", k=1)
    assert got["difference"]["B"] == ["same rank in A"] and got["difference"]["A"][1] == "only in A"
    replies(model, "drop", side="B")
    assert "difference" not in replies(model)


def test_why_not_this_passage(index: rag.Index) -> None:
    model = model_of(index)
    replies(model, where="region == 'us'")
    lost = replies(model, "why", text="28 days of annual leave")["why"]["html"]
    assert "filter: the filter leaves leave.md out" in lost and "without region == &#x27;us&#x27;" in lost
    assert "kept: it is in the context" in replies(model, "why", rank=1)["why"]["html"]
    assert replies(model, "why", text=" ")["error"]["text"].startswith("nothing is expected")
    assert "there is no hit 99" in replies(model, "why", rank=99)["error"]["text"]
    assert "have changed" in replies(model, "why", serial=7, rank=1)["error"]["text"]


def test_a_question_becomes_a_draft_with_its_evidence(index: rag.Index, tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "golden.jsonl"
    file.write_text('{"id": "a", "question": "Old?", "gold": ["leave.md"]}', encoding="utf-8")  # no line end
    model = model_of(index, golden=file)
    replies(model, where="region == 'eu'")
    done = replies(model, "golden", evidence=[{"rank": 1, "quote": "28 days of\nannual leave"}])["golden"][
        "text"
    ]
    assert "added to golden.jsonl as a draft" in done
    old, new = read(file, drafts=True)
    assert (old.id, new.question, new.where, new.expected.draft) == ("a", LEAVE, "region == 'eu'", True)
    (span,) = new.evidence
    assert (folder / "leave.md").read_text(encoding="utf-8")[
        span.start : span.end
    ] == "28 days of annual leave"
    assert [each.id for each in read(file)] == ["a"]  # a draft is not measured
    again = replies(model, "golden", evidence=[{"rank": 1, "quote": "28 days of annual leave"}])
    assert "already" in again["error"]["text"]
    replies(model, "answer")
    assert replies(model, "golden")["golden"]  # the citations of the answer
    assert len(read(file, drafts=True)) == 3 and read(file, drafts=True)[2].evidence[0].source == "leave.md"


def test_no_golden_set_no_evidence_no_writing(index: rag.Index, tmp_path: Path) -> None:
    model = model_of(index)
    replies(model)
    assert 'golden="golden.jsonl"' in replies(model, "golden")["error"]["text"]
    model = model_of(index, golden=tmp_path / "g.jsonl")
    replies(model)
    assert "tick the passages" in replies(model, "golden")["error"]["text"]
    assert (
        "do not stand in one passage"
        in replies(model, "golden", evidence=[{"rank": 1, "quote": "elephants"}])["error"]["text"]
    )
    (tmp_path / "g.jsonl").write_text("{\n", encoding="utf-8")
    assert "is not JSON" in replies(model, "golden", evidence=[{"rank": 1}])["error"]["text"]
    assert (tmp_path / "g.jsonl").read_text(encoding="utf-8") == "{\n"
    with pytest.raises(UsageError, match="question is empty"):
        golden.add(tmp_path / "h.jsonl", " ", [])


class Counting(FakeListChatModel):
    """A model that costs money, and counts its calls."""

    asked: ClassVar[list[int]] = []

    def _stream(self, *args: Any, **options: Any) -> Any:
        self.asked.append(1)
        yield from super()._stream(*args, **options)

    def _call(self, *args: Any, **options: Any) -> str:
        self.asked.append(1)
        return str(super()._call(*args, **options))


def test_a_paid_model_is_asked_by_its_button_alone_and_at_a_price(index: rag.Index) -> None:
    paid = Counting(responses=["They take 28 days of leave."])
    paid.asked.clear()
    model = model_of(rag.Pipeline(index, generator=paid, prices={"Counting": {"input": 3.0, "output": 15.0}}))
    replies(model)
    got = replies(model, "answer")
    assert (
        got["price"]["text"].startswith("Ask Counting: about $0.00")
        and ", at most $0." in got["price"]["text"]
    )
    assert "local extractive answerer" in got["answer"]["html"] and not paid.asked
    asked = replies(model, "ask")["answer"]
    assert asked["paid"] and "They take 28 days of leave." in asked["html"] and len(paid.asked) == 1
    assert model.pipe.meter.ledger is not None and len(list(model.pipe.meter.ledger.rows())) == 1


def test_a_model_without_a_price_has_no_button_and_is_not_asked(index: rag.Index) -> None:
    paid = Counting(responses=["x"])
    paid.asked.clear()
    model = model_of(rag.Pipeline(index, generator=paid))
    replies(model)
    got = replies(model, "answer")
    assert got["price"]["text"] == "" and "Counting" in got["price"]["why"]
    assert "Counting" in replies(model, "ask")["error"]["text"] and not paid.asked
    assert "no model that is paid for" in _asked_free(index)


def _asked_free(index: rag.Index) -> str:
    model = model_of(index)
    replies(model)
    return str(replies(model, "ask")["error"]["text"])


class Broken(BaseRetriever):
    """A retriever of somebody else that fails."""

    def _get_relevant_documents(self, query: str, **options: Any) -> list[Any]:
        raise ZeroDivisionError("of\nthe retriever")


def test_a_stage_that_fails_is_one_line_in_the_page(index: rag.Index) -> None:
    model = model_of(rag.Pipeline(index, retriever=Broken()))
    assert model.form()["weight"] is None and model.form()["modes"] is False
    assert replies(model)["error"]["text"] == "ZeroDivisionError: of the retriever"
    assert "has no weights" in replies(model, lexical_weight=2.0)["error"]["text"]


def test_an_empty_question_shows_only_the_filter(index: rag.Index) -> None:
    assert [*replies(model_of(index), question=" ", where="year > 2023")] == ["filter", "empty"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_documents_are_inert(text: str, tmp_path: Path) -> None:
    clean = text.replace("\x00", "")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(
        f"# Leave {clean}\n\nStaff take 28 days of leave {clean}.\n", encoding="utf-8"
    )
    (tmp_path / "meta.jsonl").write_text(
        json.dumps({"source": "a.md", "title": text, "region": clean or "x"}) + "\n"
    )
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static", metadata=str(tmp_path / "meta.jsonl"))
    model = model_of(tmp_path / "ix", text[:2000])
    got = replies(model, question=text[:2000] or "x")
    html = [got["hits"]["html"], got["context"]["html"], replies(model, "answer")["answer"]["html"]]
    html.append(replies(model, "why", rank=1)["why"]["html"])
    for each in html:
        read_ = Controls()
        read_.feed(each)
        assert read_.wrong == []


class Controls(Markup):
    """As a card's HTML, and with the controls of a hit."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {"data-rank", "data-evidence", "data-why", "type", "hidden"}
        if tag in ("button", "label", "input"):
            assert {name for name, _ in attrs} <= {*own, "class"}
            if tag != "input":
                self.open.append(tag)
            return
        super().handle_starttag(tag, [(name, value) for name, value in attrs if name not in own])


def test_open_checks_its_arguments_and_names_the_extra(
    index: rag.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_of(index, "q", where={"year": {"$gte": 2024}}).first.where == "year >= 2024"
    assert model_of(rag.Pipeline(index, retriever={"use": "hybrid", "mode": "dense"})).first.mode == "dense"
    with pytest.raises(WhereError, match="did you mean"):
        model_of(index, where="yaer > 1")
    with pytest.raises(UsageError, match=r"^k: "):
        model_of(index, k=0)
    with pytest.raises(UsageError, match="golden is 5"):
        model_of(index, golden=5)  # type: ignore[arg-type]

    def absent(module: str, *, extra: str) -> None:
        raise MissingExtraError(f"needs the Python module {module}", f"pip install 'bedrock-rag[{extra}]'")

    monkeypatch.setattr(opening, "ensure", absent)
    with pytest.raises(MissingExtraError, match=r"bedrock-rag\[notebook\]"):
        rag.explore(index)
