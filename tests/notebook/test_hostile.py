"""Whatever a document, its metadata or its name holds: no display obeys it, and none fails."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rag.core.drawn import OBEYED
from rag.index.filters.where import Where
from rag.index.remote.transfer import Transfer
from rag.index.search.results import SearchPlan
from rag.review.records import Decision
from tests.notebook.objects import HOSTILE, markup, records
from tests.notebook.reports import reports

TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from("<>&\"'|#\n\r\f\t\x1b\x9b\u202e\u2066\ud800[1]?")), max_size=60
)


_SENTENCES = (SearchPlan, Transfer, Decision)


def check(text: str) -> None:
    for each in [*records(text), *reports(text)]:
        shown = markup(each._repr_html_())
        assert "cannot be displayed" not in shown.text
        for form in (str(each), repr(each)):
            assert not OBEYED.search(form), (type(each), form)
            # A filter's text can be evaluated, and others are sentences of the command line: none is cut.
            whole = isinstance(each, Where) or (isinstance(each, _SENTENCES) and form == str(each))
            if not whole:
                assert max(map(cell_len, form.split("\n"))) <= 80, (type(each), form)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_drawn_and_never_obeyed(text: str) -> None:
    check(text)


@settings(max_examples=60)
@given(TEXTS)
def test_no_text_is_obeyed(text: str) -> None:
    check(text)


def test_the_text_can_be_read_as_it_is() -> None:
    hit = records("<b>5 & 6</b>")[0]
    assert markup(hit._repr_html_()).text.count("<b>5 & 6</b>") >= 3
    assert "<b>5 & 6</b>" in str(hit)
    assert "a�[2Jb" in str(records("a\x1b[2Jb")[0])


def test_mathjax_and_scripts_are_kept_out() -> None:
    for each in records("costs $5 and $6"):
        html = each._repr_html_()
        assert html.startswith('<div class="rag tex2jax_ignore mathjax_ignore"')
        assert "<script" not in html and "http" not in html and "url(" not in html


@pytest.mark.parametrize("text", ["plain", HOSTILE[0]])
def test_records_equal_hash_and_pickle_as_before(text: str) -> None:
    for one, two in zip([*records(text), *reports(text)], [*records(text), *reports(text)], strict=True):
        if type(one).__eq__ is not object.__eq__:
            assert one == two
        assert str(pickle.loads(pickle.dumps(one))) == str(one)
