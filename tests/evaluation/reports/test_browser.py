"""In a browser a report runs nothing, fetches nothing, and can be filtered and read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.evaluation.reports import answers, page
from tests.evaluation.reports.conftest import hostile


@pytest.fixture(scope="module")
def opened(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The report of hostile answers; what the page says and asks for is in `seen`."""
    path = tmp_path_factory.mktemp("report") / "r.html"
    path.write_text(answers.report(hostile(), index="ix"))
    tab = browser.new_page(viewport={"width": 390, "height": 800})
    tab.seen = []
    tab.on("console", lambda message: tab.seen.append(message.text))
    tab.on("dialog", lambda dialog: tab.seen.append(dialog.message))
    tab.on("request", lambda request: tab.seen.append(request.url))
    tab.goto(path.as_uri())
    yield tab
    tab.close()


def shown(tab: Any) -> list[str]:
    chips = tab.locator(".question > summary > .chip")
    return [chips.nth(at).inner_text() for at in range(chips.count()) if chips.nth(at).is_visible()]


def heard(tab: Any, text: str) -> bool:
    """Tell whether a text is in what a screen reader is given, which has the style sheet's counter."""
    nodes = tab.context.new_cdp_session(tab).send("Accessibility.getFullAXTree")["nodes"]
    words = [node["name"]["value"] for node in nodes if node["role"]["value"] == "StaticText"]
    return text in "".join(words)


def test_nothing_is_run_or_fetched_and_the_page_is_as_wide_as_a_phone(opened: Any) -> None:
    assert opened.seen == [opened.url]  # the file itself, no message, no dialog
    assert opened.evaluate("document.scripts.length + document.images.length") == 0
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_filters_narrow_each_other_and_say_how_many_questions_are_left(opened: Any) -> None:
    assert shown(opened) == ["failed", "refused", "wrong", "unsupported"] and heard(
        opened, "4 of 4 questions"
    )
    opened.get_by_label("leave 2").check()
    assert shown(opened) == ["wrong", "unsupported"]
    opened.get_by_label("wrong 1").check()
    assert shown(opened) == ["wrong"] and heard(opened, "1 of 4 questions")
    opened.get_by_role("group", name="Tag").get_by_label("short 1").check()
    assert shown(opened) == [] and heard(opened, "0 of 4 questions")  # no wrong answer has the tag
    opened.get_by_role("group", name="Tag").get_by_label("all 4").check()
    opened.get_by_role("group", name="Verdict").get_by_label("all 4").check()
    assert len(shown(opened)) == 4


def test_a_mark_leads_to_its_citation(opened: Any) -> None:
    wrong = opened.locator(".question", has_text="How long? </style>")
    wrong.locator("summary").first.click()
    wrong.get_by_role("link", name="[2?]").click()
    assert opened.evaluate("document.querySelector(':target').innerText").startswith("3 more")


def test_what_is_folded_is_printed(opened: Any) -> None:
    opened.emulate_media(media="print")
    assert opened.get_by_text("28 days </style>").first.is_visible()
    assert not opened.get_by_text("Verdict").first.is_visible()
    opened.emulate_media(media="screen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(opened: Any, scheme: str) -> None:
    """4.5 to 1, WCAG 2.2, success criterion 1.4.3; by the relative luminance that it defines."""
    opened.emulate_media(color_scheme=scheme)
    colours = opened.evaluate("""() => {
        const style = getComputedStyle(document.documentElement), found = {}, at = document.body.style
        for (const name of "ink dim paper card accent bad good warn bad-ground good-ground warn-ground mark quote".split(" ")) {
            at.color = style.getPropertyValue("--" + name)
            found[name] = getComputedStyle(document.body).color.match(/\\d+/g).map(Number)
        }
        at.color = ""
        return found
    }""")
    on = {"paper": ("ink", "dim", "bad", "good", "warn", "accent"), "card": ("ink", "dim", "bad", "warn", "accent"),
          "bad-ground": ("bad",), "good-ground": ("good",), "warn-ground": ("warn",), "accent": ("paper",),
          "mark": ("ink",), "quote": ("ink",)}  # fmt: skip
    low = {
        (ground, name): ratio for ground, names in on.items() for name in names
        if (ratio := contrast(colours[ground], colours[name])) < 4.5
    }  # fmt: skip
    assert low == {}


def contrast(one: list[int], other: list[int]) -> float:
    def luminance(colour: list[int]) -> float:
        parts = [part / 255 for part in colour]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_the_style_sheet_names_no_other_file(tmp_path: Path) -> None:
    style = Path(page.__file__).with_name("style.css").read_text()
    assert "url(" not in style and "@import" not in style and "<" not in style
