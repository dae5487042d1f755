"""The figure of attacks: original, perturbation and adversarial image, a row each."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnnopt.errors import InputError
from bnnopt.report.pictures import picture, plot, show
from bnnopt.report.saving import save
from bnnopt.result import AttackResult

__all__ = ["draw_attacks", "save_figure"]

MAX_ROWS = 50
COLUMNS = 3


def save_figure(
    results: Sequence[AttackResult], path: str | os.PathLike[str], class_names: Sequence[str] = ()
) -> None:
    """Write a figure with a row an attack, the first 50 of them.

    Parameters
    ----------
    results : sequence of AttackResult
        Of networks of any shape. Three channels, first or last, make a colour image, whose
        unchanged pixels are grey in the perturbation; other channels are drawn side by side, and
        an image with one axis longer than 1 as a signal.
    path : path
        Its ending picks the format: .png, .pdf or .svg.
    class_names : sequence of str, optional
        By class; numbers are shown without them.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    shown = list(results)[:MAX_ROWS]
    if not shown:
        raise InputError("the figure needs at least one attack")
    figure = Figure(figsize=(7.8, 2.5 * len(shown) + 0.3), layout="constrained")
    draw_attacks(figure, shown, class_names)
    save(figure, path, dpi=120)


def draw_attacks(
    figure: Figure, results: Sequence[AttackResult], class_names: Sequence[str]
) -> None:
    """Draw a row an attack: the image, what was changed with a key, and the changed image.

    Parameters
    ----------
    figure : Figure
        An empty one.
    results : sequence of AttackResult
        A row each.
    class_names : sequence of str
        By class; none shows numbers.
    """
    axes = figure.subplots(len(results), COLUMNS, squeeze=False)
    for row, result in zip(axes, results, strict=True):
        _draw(figure, row, result)
        for axis, title in zip(row, _titles(result, class_names), strict=True):
            axis.set_title(title, fontsize=9)


def _titles(result: AttackResult, class_names: Sequence[str]) -> tuple[str, str, str]:
    which = "original" if result.image is None else f"image {result.image}"
    before = _name(result.source, class_names)
    after = _name(result.prediction, class_names)
    return (
        f"{which}: {before}",
        f"{_reached(result)}, {result.status.value}",
        f"{'flipped to' if result.flipped else 'not flipped:'} {after} "
        f"(margin {result.objective:.4g})",
    )


def _largest(result: AttackResult) -> float:
    return float(np.abs(result.adversarial - result.original).max())


def _reached(result: AttackResult) -> str:
    """The largest change, and the largest that was allowed."""
    largest, allowed = f"±{_largest(result):.3g}", f"±{result.epsilon:.3g}"
    if largest == allowed:
        return allowed
    return f"no change of {allowed}" if _largest(result) == 0.0 else f"{largest} of {allowed}"


def _name(number: int, class_names: Sequence[str]) -> str:
    return class_names[number] if class_names else str(number)


def _draw(figure: Figure, row: Sequence[Axes], result: AttackResult) -> None:
    original, adversarial = picture(result.original), picture(result.adversarial)
    change = adversarial - original
    # Of the change itself: of a budget that is hardly used nothing would be seen.
    reach = _largest(result) or 1.0
    if original.ndim == 1:
        plot(row[0], original, 0.0, 1.0)
        plot(row[1], change, -reach, reach)
        plot(row[2], adversarial, 0.0, 1.0)
    elif original.ndim == 3:
        show(row[0], original)
        show(row[1], np.clip(0.5 + change / (2.0 * reach), 0.0, 1.0))
        row[1].set_xlabel(f"grey: unchanged; white, black: ±{reach:.3g}", fontsize=7)
        show(row[2], adversarial)
    else:
        show(row[0], original, cmap="gray", vmin=0, vmax=1)
        shown = show(row[1], change, cmap="RdBu_r", vmin=-reach, vmax=reach)
        key = figure.colorbar(shown, ax=row[1], shrink=0.8, ticks=[-reach, 0.0, reach])
        key.ax.set_yticklabels([f"{-reach:.3g}", "0", f"+{reach:.3g}"], fontsize=7)
        show(row[2], adversarial, cmap="gray", vmin=0, vmax=1)
