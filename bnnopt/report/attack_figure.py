"""The figure of attacks: original, perturbation and adversarial image, a row each."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bnnopt.errors import InputError
from bnnopt.report.saving import save
from bnnopt.result import AttackResult

__all__ = ["save_figure"]

MAX_ROWS = 50
COLUMNS = ("original", "perturbation", "adversarial")


def save_figure(
    results: Sequence[AttackResult], path: str | os.PathLike[str], class_names: Sequence[str] = ()
) -> None:
    """Write a figure with a row an attack, the first 50 of them.

    Parameters
    ----------
    results : sequence of AttackResult
        Of networks whose images are two-dimensional.
    path : path
        Its ending picks the format: .png, .pdf or .svg.
    class_names : sequence of str, optional

    Raises
    ------
    InputError
        If there is nothing to draw, or images are not two-dimensional.
    """
    shown = list(results)[:MAX_ROWS]
    if not shown or any(result.original.ndim != 2 for result in shown):
        raise InputError("the figure needs at least one attack on a two-dimensional image")
    figure = Figure(figsize=(7.2, 2.5 * len(shown) + 0.3), layout="constrained")
    axes = figure.subplots(len(shown), len(COLUMNS), squeeze=False)
    for row, result in zip(axes, shown, strict=True):
        change = result.adversarial - result.original
        reach = max(result.epsilon, 1e-12)
        row[0].imshow(result.original, cmap="gray", vmin=0, vmax=1)
        row[1].imshow(change, cmap="RdBu_r", vmin=-reach, vmax=reach)
        row[2].imshow(result.adversarial, cmap="gray", vmin=0, vmax=1)
        before = _name(result.source, class_names)
        after = _name(int(np.argmax(result.adversarial_logits)), class_names)
        row[0].set_title(f"image {result.image}: {before}", fontsize=9)
        row[1].set_title(f"±{result.epsilon:g}, {result.status.value}", fontsize=9)
        row[2].set_title(f"{after} (margin {result.objective:g})", fontsize=9)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    save(figure, path, dpi=120)


def _name(number: int, class_names: Sequence[str]) -> str:
    return class_names[number] if class_names else str(number)
