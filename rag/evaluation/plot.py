"""A sweep as a picture: recall against the contexts' tokens; of one budget, or nDCG, the intervals."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.evaluation.sweep import Sweep, Trial

#: Settings that get a colour and a name; the others are grey.
_NAMED = 12
_MARKS = "osD^vP"


def draw(found: Sweep, path: Path) -> None:
    """Write a PNG; matplotlib draws it without a display."""
    from matplotlib.figure import Figure  # takes 0.3 s; a Figure of its own draws with Agg

    named = list(found.trials[:_NAMED])
    if all(trial.name != found.first for trial in named):
        named[-1] = next(trial for trial in found.trials if trial.name == found.first)
    curves = found.headline == "recall" and len(found.trials[0].evaluation.tokens) > 1
    height = 4.8 + 0.22 * len(named) if curves else 1.4 + 0.35 * len(named)
    figure = Figure(figsize=(8, height), layout="constrained", dpi=140)
    axes = figure.add_subplot()
    if curves:
        _curves(axes, found, named)
        figure.legend(loc="outside lower left", fontsize=8, frameon=False, title_fontsize=8,
                      alignment="left", title="mean recall, best first")  # fmt: skip
    else:
        _points(axes, found, named)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _curves(axes: Any, found: Sweep, named: Sequence[Trial]) -> None:
    known = {trial.name for trial in named}
    for trial in found.trials:
        if trial.name not in known:
            _curve(axes, trial, color="0.8", linewidth=0.8, zorder=1)
    for number, trial in enumerate(named):
        mean = trial.evaluation.metrics["recall"].mean
        style: dict[str, Any] = {"color": _colour(number, len(named)), "marker": _MARKS[number % 6]}
        if trial.name == found.first:
            style |= {"color": "black", "linestyle": "--", "zorder": 3}
        rank = f"{found.trials.index(trial) + 1}"
        mark = " (the first)" if trial.name == found.first and len(named) > 1 else ""
        style |= {"label": f"{rank}.  {mean:.3f}  {_short(trial.name)}{mark}", "markersize": 4}
        _curve(axes, trial, linewidth=1.2, **style)
        if len(named) > 1:
            end = (trial.evaluation.tokens[-1], _recalls(trial)[-1])
            axes.annotate(rank, end, (5, 0), textcoords="offset points", va="center", fontsize=7,
                          color=style["color"])  # fmt: skip
    if len(found.trials) > len(named):
        axes.plot([], [], color="0.8", label=f"{len(found.trials) - len(named)} others")
    if len(named) == 1:
        _interval(axes, named[0])
    unit = named[0].evaluation.unit
    # Ticks where the budgets are, for the setting that fills them best.
    tokens = max((trial.evaluation.tokens for trial in named), key=lambda sizes: sizes[-1])
    if min(min(trial.evaluation.tokens) for trial in found.trials) > 0:
        axes.set_xscale("log")  # budgets are mostly doubled
    axes.set_xticks(tokens, [f"{at:.0f}" for at in tokens])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(f"estimated tokens of the context, mean (budgets in {unit})")
    axes.set_ylabel(f"evidence recall, mean of {found.questions} questions")
    axes.grid(color="0.93")


def _curve(axes: Any, trial: Trial, **style: Any) -> None:
    axes.plot(trial.evaluation.tokens, _recalls(trial), **style)


def _recalls(trial: Trial) -> list[float]:
    budgets = trial.evaluation.budgets
    names = [f"recall@{budget}" for budget in budgets] or ["recall"]
    return [trial.evaluation.metrics[name].mean for name in names]


def _interval(axes: Any, trial: Trial) -> None:
    found = trial.evaluation
    each = [found.metrics[f"recall@{budget}" if budget else "recall"] for budget in found.budgets or (0,)]
    axes.fill_between(found.tokens, [e.low for e in each], [e.high for e in each], alpha=0.15,
                      color="black", linewidth=0, label="95 % interval")  # fmt: skip


def _points(axes: Any, found: Sweep, named: Sequence[Trial]) -> None:
    for number, trial in enumerate(named):
        value = trial.evaluation.metrics[found.headline]
        colour = "black" if trial.name == found.first else "C0"
        reach = [[value.mean - value.low], [value.high - value.mean]]
        axes.errorbar(value.mean, number, xerr=reach, fmt="o", color=colour, capsize=3)
    mark = {trial.name: " (the first)" for trial in named if trial.name == found.first and len(named) > 1}
    sizes = [
        f", {trial.evaluation.tokens[0]:.0f} tokens" if trial.evaluation.tokens else "" for trial in named
    ]
    names = [
        _short(trial.name + mark.get(trial.name, "") + size) for trial, size in zip(named, sizes, strict=True)
    ]
    axes.set_yticks(range(len(named)), names, fontsize=8)
    axes.set_ylim(len(named) - 0.5, -0.5)
    axes.set_xlabel(f"{found.headline} with its 95 % interval, {found.questions} questions")
    axes.grid(axis="x", color="0.93")


def _colour(number: int, of: int) -> Any:
    from matplotlib import colormaps

    # Without the colormap's yellow end, which is faint on white.
    return colormaps["turbo"](0.08 + 0.84 * number / max(of - 1, 1)) if of > 10 else f"C{number}"


def _short(name: str) -> str:
    return textwrap.shorten(name, 110, placeholder=" …")
