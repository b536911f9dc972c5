"""Draw settings as a picture: recall against context tokens or, at one budget, intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.extras import require
from rag.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Settings with a colour and a name; the others are grey.
MOST_NAMED = 12
_MARKERS = "osD^vP"


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one setting.

    Attributes
    ----------
    name : str
    headline : Estimate
        Of the metric that the settings are sorted by.
    tokens : tuple of float
        Mean tokens of the contexts at each budget; empty if no contexts were measured.
    recalls : tuple of Estimate
        Evidence recall at each budget, as many as `tokens`.
    """

    name: str
    headline: Estimate
    tokens: tuple[float, ...] = ()
    recalls: tuple[Estimate, ...] = ()


def draw(path: Path, series: Sequence[Series], *, baseline: str, metric: str, unit: str) -> None:
    """Write a PNG; no display is needed.

    Parameters
    ----------
    path : Path
    series : sequence of Series
        Best first; at least one.
    baseline : str
        Name of the setting that the others are compared with.
    metric : str
        Name of the headline metric.
    unit : str
        Of the budgets.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    # Imported late: it takes 0.3 s. A bare Figure draws with Agg.
    Figure = require("matplotlib.figure", extra="plots").Figure  # noqa: N806

    named = list(series[:MOST_NAMED])
    if all(one.name != baseline for one in named):
        named[-1] = next(one for one in series if one.name == baseline)
    curves = all(len(one.recalls) > 1 for one in series)
    height = 4.8 + 0.22 * len(named) if curves else 1.4 + 0.35 * len(named)
    figure = Figure(figsize=(8, height), layout="constrained", dpi=140)
    axes = figure.add_subplot()
    if curves:
        _draw_curves(axes, series, named, baseline, unit)
        figure.legend(loc="outside lower left", fontsize=8, frameon=False, title_fontsize=8,
                      alignment="left", title="mean recall, best first")  # fmt: skip
    else:
        _draw_intervals(axes, named, baseline, metric)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _draw_curves(
    axes: Axes, series: Sequence[Series], named: Sequence[Series], baseline: str, unit: str
) -> None:
    names = {one.name for one in named}
    ranks = {one.name: rank for rank, one in enumerate(series, 1)}
    for one in series:
        if one.name not in names:
            _draw_curve(axes, one, color="0.8", linewidth=0.8, zorder=1)
    for number, one in enumerate(named):
        style: dict[str, Any] = {"color": _colour(number, len(named)), "marker": _MARKERS[number % 6]}
        if one.name == baseline:
            style |= {"color": "black", "linestyle": "--", "zorder": 3}
        mark = " (the first)" if one.name == baseline and len(named) > 1 else ""
        label = f"{ranks[one.name]}.  {one.headline.mean:.3f}  {_short(one.name)}{mark}"
        _draw_curve(axes, one, linewidth=1.2, markersize=4, label=label, **style)
        if len(named) > 1:
            end = (one.tokens[-1], one.recalls[-1].mean)
            axes.annotate(str(ranks[one.name]), end, (5, 0), textcoords="offset points", va="center",
                          fontsize=7, color=style["color"])  # fmt: skip
    if len(series) > len(named):
        axes.plot([], [], color="0.8", label=f"{len(series) - len(named)} others")
    if len(named) == 1:
        _draw_band(axes, named[0])
    # Ticks at the budgets of the setting that fills them best.
    tokens = max((one.tokens for one in named), key=lambda sizes: sizes[-1])
    if min(min(one.tokens) for one in series) > 0:
        axes.set_xscale("log")  # budgets usually double
    axes.set_xticks(tokens, [f"{at:.0f}" for at in tokens])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(f"estimated tokens of the context, mean (budgets in {unit})")
    axes.set_ylabel(f"evidence recall, mean of {series[0].headline.count} questions")
    axes.grid(color="0.93")


def _draw_curve(axes: Axes, one: Series, **style: Any) -> None:
    axes.plot(one.tokens, [recall.mean for recall in one.recalls], **style)


def _draw_band(axes: Axes, one: Series) -> None:
    low, high = [recall.low for recall in one.recalls], [recall.high for recall in one.recalls]
    axes.fill_between(one.tokens, low, high, alpha=0.15, color="black", linewidth=0, label="95 % interval")


def _draw_intervals(axes: Axes, named: Sequence[Series], baseline: str, metric: str) -> None:
    labels = []
    for number, one in enumerate(named):
        value = one.headline
        colour = "black" if one.name == baseline else "C0"
        reach = [[value.mean - value.low], [value.high - value.mean]]
        axes.errorbar(value.mean, number, xerr=reach, fmt="o", color=colour, capsize=3)
        mark = " (the first)" if one.name == baseline and len(named) > 1 else ""
        tokens = f", {one.tokens[0]:.0f} tokens" if one.tokens else ""
        labels.append(_short(f"{one.name}{mark}{tokens}"))
    axes.set_yticks(range(len(named)), labels, fontsize=8)
    axes.set_ylim(len(named) - 0.5, -0.5)
    axes.set_xlabel(f"{metric} with its 95 % interval, {named[0].headline.count} questions")
    axes.grid(axis="x", color="0.93")


def _colour(number: int, count: int) -> Any:
    if count <= 10:
        return f"C{number}"
    turbo = require("matplotlib", extra="plots").colormaps["turbo"]
    return turbo(0.08 + 0.84 * number / max(count - 1, 1))  # without its yellow, which is faint on white


def _short(name: str) -> str:
    return textwrap.shorten(name, 110, placeholder=" …")
