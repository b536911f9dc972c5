"""Number formats: values of ECMA-376, Part 1, 18.8.30 and 18.8.31, and what Excel shows for them."""

from __future__ import annotations

import pytest

from rag.loading.formats.number_format import (
    BUILT_IN,
    format_number,
    format_text,
    general,
    is_date,
    is_percent,
)

SHOWN = [
    # digits, grouping, scaling
    (1234.5, '"$"#,##0.00', "$1,234.50"), (1234.567, "0.0##", "1234.567"), (1234.5, "0.0##", "1234.5"),
    (0.5, "#.##", ".5"), (5, "#.##", "5."), (0, "#", ""), (12.3, "???.??? ", "12.3"), (1e15, "#,##0", "1,000,000,000,000,000"),
    (12500000, '0.0,,"M"', "12.5M"), (1234567.891, "#,##0.0,", "1,234.6"), (1000000, "#,##0,", "1,000"), (-0.4, "0", "0"),
    (-1234.5, "#,##0.00", "-1,234.50"), (1234, "0000 0000", "0000 1234"),
    # leading zeros, telephones, texts between digits
    (1234, "00000", "01234"), (5551234, "000-0000", "555-1234"), (5551234567, "(000) 000-0000", "(555) 123-4567"),
    (12, '00":"00', "00:12"), (12, '"Q"0', "Q12"), (12, "0\\ \\m", "12 m"), (2.5, '0.0" days"', "2.5 days"),
    # percent, currency, accounting
    (0.075, "0.0%", "7.5%"), (0.5, "0 %", "50 %"), (1.0 / 3, "0.00%", "33.33%"), (99.90000000000001, "[$€-407] #,##0.00", "€ 99.90"),
    (1234.5, "#,##0 [$kr-406]", "1,235 kr"), (7.5, "_-* #,##0.00\\ _D_M_-", "7.50"), (-5, '"$"#,##0.00_);("$"#,##0.00)', "($5.00)"),
    (0, '_-* #,##0_-;\\-* #,##0_-;_-* "-"_-;_-@_-', "-"), (1234, "#,##0.00 €", "1,234.00 €"),
    # sections and conditions
    (-45, "#,##0;[Red]-#,##0", "-45"), (0, '0;-0;"zero"', "zero"), (5, ";;;", ""), (7, "[Green]General;[Color10]General", "7"),
    (12, '[<50]0.0"d";0', "12.0d"), (60, '[<50]0.0"d";0', "60"), (150, "[>=100]0;[<0]-0;0.0", "150"), (-3, "[>=100]0;[<0]-0;0.0", "-3"),
    (5, "[>=100]0;[<0]-0;0.0", "5.0"), (1, '"Yes";"Yes";"No"', "Yes"), (0, '"Yes";"Yes";"No"', "No"), (123, "@", "123"),
    # scientific and fractions
    (12345, "0.00E+00", "1.23E+04"), (0.00012345, "0.00E-00", "1.23E-04"), (999999, "0.00E+00", "1.00E+06"), (0, "0.00E+00", "0.00E+00"),
    (12345678, "##0.0E+0", "12.3E+6"), (0.5, "# ?/?", "1/2"), (1.25, "# ??/??", "1 1/4"), (3.14159, "?/?", "22/7"), (0.375, "# ?/8", "3/8"),
    (2, "# ?/?", "2"), (0.999, "# ?/?", "1"), (-1.5, "# ?/?", "-1 1/2"),
    # dates
    (46096, "mm/dd/yyyy", "03/15/2026"), (46082, "mmm-yy", "Mar-26"), (46096, "[$-409]d-mmm-yy;@", "15-Mar-26"),
    (46096.5, "dddd d mmmm yyyy", "Sunday 15 March 2026"), (46096, 'yyyy"年"m"月"d"日"', "2026年3月15日"),
    (46096, 'ggge"年"m"月"d"日"', "令和8年3月15日"), (46096, "[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy", "2026-03-15"),
    (1, "yyyy-mm-dd", "1900-01-01"), (60, "yyyy-mm-dd", "1900-02-29"), (61, "yyyy-mm-dd dddd", "1900-03-01 Thursday"),
    (-1, "yyyy", "-1"), (3e6, "yyyy", "3000000"),
    (46096, "[$-407]d. mmmm yyyy", "15. März 2026"), (46096, "[$-fr-FR]dddd d mmm", "dimanche 15 mar"), (46096, "[$-809]mmmm", "March"),
    # times and durations
    (0.5, "hh:mm:ss", "12:00:00"), (46096.39583333334, "yyyy-mm-dd hh:mm", "2026-03-15 09:30"), (0.75, "h:mm AM/PM", "6:00 PM"),
    (0.01, "mm:ss.0", "14:24.0"), (1.5, "[h]:mm", "36:00"), (1.25, "[mm]:ss", "1800:00"), (0.1, "[ss]", "8640"),
    (45292.9999999, "yyyy-mm-dd hh:mm:ss", "2024-01-02 00:00:00"), (0.99999, "h:mm", "23:59"), (0.75, "[$-F400]h:mm:ss\\ AM/PM", "18:00:00"),
    (0.0423612, 'h" h "m" min"', "1 h 1 min"),
    # General
    (0.30000000000000004, "General", "0.3"), (0.0001, "General", "0.0001"), (1e21, "General", "1E+21"), (5, 'General" units"', "5 units"),
    (1.5, "", "1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "code", "shown"), SHOWN)
def test_a_number_is_written_as_its_cell_shows_it(value: float, code: str, shown: str) -> None:
    assert format_number(value, code) == shown


def test_days_of_the_other_epoch_are_four_years_later() -> None:
    assert format_number(0, "yyyy-mm-dd", since_1904=True) == "1904-01-01"
    assert format_number(44634, "yyyy-mm-dd", since_1904=True) == "2026-03-15"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("General", "x"),
        ("0.00", "x"),
        ("@", "x"),
        ('"Ref: "@', "Ref: x"),
        (";;;", ""),
        ("0;0;0;@@", "xx"),
        ("0;0;0;", ""),
    ],
)
def test_a_text_is_written_as_its_cell_shows_it(code: str, shown: str) -> None:
    assert format_text("x", code) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3.3000000000000003, "3.3"), (12345678901234, "12345678901234"), (1e-5, "0.00001"), (1e-12, "1E-12"), (-0.1, "-0.1"), (1e20, "100000000000000000000")],
)  # fmt: skip
def test_general_keeps_fifteen_digits(value: float, shown: str) -> None:
    assert general(value) == shown


def test_formats_are_told_apart() -> None:
    assert [is_date(BUILT_IN[n]) for n in (0, 9, 14, 20, 22, 46, 49)] == [
        False,
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    assert is_percent("0.0%") and not is_percent('0"%"') and not is_date('0.0" days"')
    assert not is_date("[Red]0") and is_date("[h]:mm")


@pytest.mark.parametrize(
    "code",
    [
        '"',
        "[",
        "\\",
        "_",
        "*",
        ";;;;;;",
        "0.0.0",
        "E+",
        "?/?/?",
        "[h",
        "0E+",
        "/0",
        "#,,,,",
        "%" * 50,
        "0" * 400,
        "@" * 2000,
    ],
)
def test_a_format_that_is_none_hurts_nobody(code: str) -> None:
    assert len(format_number(1234.5, code)) < 500 and len(format_number(1e300, code)) < 1000
