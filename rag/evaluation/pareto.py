"""Quality against dollars: which configurations no other one beats in both, and a picture of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.extras import require
from rag.core.format import shortened
from rag.evaluation.answer_metrics import digits_of
from rag.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that people with any kind of colour blindness tell apart (Okabe and Ito, "Color Universal Design",
#: 2008), without the yellow, which is faint on white, and black, which is the frontier's.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vPX"
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration's quality in [0, 1], and its dollars for a question."""

    name: str
    quality: Estimate
    usd: Estimate


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in both, the cheapest first.

    Examples
    --------
    >>> def point(name, quality, usd):
    ...     return Point(name, Estimate(quality, quality, quality, 9), Estimate(usd, usd, usd, 9))
    >>> [each.name for each in frontier([point("a", 0.9, 2.0), point("b", 0.8, 1.0), point("c", 0.8, 1.5)])]
    ['b', 'a']
    """
    kept: list[Point] = []
    for each in sorted(points, key=lambda each: (each.usd.mean, -each.quality.mean)):
        if not kept or each.quality.mean > kept[-1].quality.mean:
            kept.append(each)
    return kept


def draw(path: Path, points: Sequence[Point], *, metric: str, chosen: str | None = None) -> None:
    """Write a PNG; no display is needed.

    Parameters
    ----------
    path : Path
    points : sequence of Point
        At least one, in the order of the legend.
    metric : str
        The name of the quality.
    chosen : str, optional
        The point that gets a ring: the configuration that is recommended.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    # Imported late: it takes 0.3 s. A bare Figure draws with Agg.
    Figure = require("matplotlib.figure", extra="plots").Figure  # noqa: N806

    best = frontier(points)
    figure = Figure(figsize=(8, 4.8 + 0.22 * len(points)), layout="constrained", dpi=140)
    axes = figure.add_subplot()
    axes.plot(
        [each.usd.mean for each in best], [each.quality.mean for each in best], color="black", linewidth=1,
        linestyle="--", zorder=1, label="frontier: no other is cheaper and better",
    )  # fmt: skip
    on_frontier = {each.name for each in best}
    for number, each in enumerate(points):
        _draw_point(axes, number, each, filled=each.name in on_frontier, ring=each.name == chosen)
    costs = [each.usd.mean for each in points]
    if min(costs) > 0 and max(costs) > 10 * min(costs):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=-0.03 * max(each.usd.high for each in points))  # a free one stands beside the axis
    axes.xaxis.set_major_formatter(lambda usd, _: f"${usd:.4g}")
    axes.set_xlabel("dollars for a question, mean and 95 % interval")
    count = points[0].quality.count
    axes.set_ylabel(f"{metric.replace('_', ' ')}, mean and 95 % interval of {count} questions")
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower left", fontsize=8, frameon=False, alignment="left")
    figure.savefig(path)


def _draw_point(axes: Axes, number: int, point: Point, *, filled: bool, ring: bool) -> None:
    """Draw a point with its intervals: filled on the frontier, in a ring where it is the one to take."""
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    usd, quality = point.usd, point.quality
    style: dict[str, Any] = {"markerfacecolor": colour if filled else "white", "markeredgecolor": colour}
    what = f"{shortened(point.name, _LONGEST)}: {quality.mean:.3f}, ${usd.mean:.{digits_of('$', usd.mean)}f}"
    axes.errorbar(
        usd.mean, quality.mean, xerr=[[usd.mean - usd.low], [usd.high - usd.mean]],
        yerr=[[quality.mean - quality.low], [quality.high - quality.mean]], fmt=marker, color=colour,
        markersize=7, elinewidth=1, capsize=3, zorder=3,
        label=f"{number + 1}.  {what}{' (the cheapest within the margin)' if ring else ''}", **style,
    )  # fmt: skip
    at = (usd.mean, quality.mean)
    if ring:
        style = {"markerfacecolor": "none", "markeredgecolor": "black"}
        axes.plot([at[0]], [at[1]], "o", markersize=16, zorder=2, **style)
    axes.annotate(str(number + 1), at, (9, 6), textcoords="offset points", fontsize=8, color="0.2")
