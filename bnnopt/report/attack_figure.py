"""The figure of attacks: original, perturbation and adversarial image, a row each."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bnnopt.errors import InputError
from bnnopt.report.saving import save
from bnnopt.result import AttackResult

__all__ = ["save_figure"]

FloatArray = npt.NDArray[np.float64]

MAX_ROWS = 50
COLUMNS = 3
GAP = 1
"""Pixels between the channels of an image that is no colour image."""


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

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    shown = list(results)[:MAX_ROWS]
    if not shown:
        raise InputError("the figure needs at least one attack")
    figure = Figure(figsize=(7.2, 2.5 * len(shown) + 0.3), layout="constrained")
    axes = figure.subplots(len(shown), COLUMNS, squeeze=False)
    for row, result in zip(axes, shown, strict=True):
        _draw(row, result)
        for axis, title in zip(row, _titles(result, class_names), strict=True):
            axis.set_title(title, fontsize=9)
    save(figure, path, dpi=120)


def _titles(result: AttackResult, class_names: Sequence[str]) -> tuple[str, str, str]:
    which = "original" if result.image is None else f"image {result.image}"
    before = _name(result.source, class_names)
    after = _name(int(np.argmax(result.adversarial_logits)), class_names)
    return (
        f"{which}: {before}",
        f"{_reached(result)}, {result.status.value}",
        f"{after} (margin {result.objective:.4g})",
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


def _draw(row: Sequence[Axes], result: AttackResult) -> None:
    original, adversarial = _picture(result.original), _picture(result.adversarial)
    change = adversarial - original
    # Of the change itself: of a budget that is hardly used nothing would be seen.
    reach = _largest(result) or 1.0
    if original.ndim == 1:
        _plot(row[0], original, 0.0, 1.0)
        _plot(row[1], change, -reach, reach)
        _plot(row[2], adversarial, 0.0, 1.0)
    elif original.ndim == 3:
        _show(row[0], original)
        _show(row[1], np.clip(0.5 + change / (2.0 * reach), 0.0, 1.0))
        _show(row[2], adversarial)
    else:
        _show(row[0], original, cmap="gray", vmin=0, vmax=1)
        _show(row[1], change, cmap="RdBu_r", vmin=-reach, vmax=reach)
        _show(row[2], adversarial, cmap="gray", vmin=0, vmax=1)


def _picture(image: FloatArray) -> FloatArray:
    """A signal (n,), a grey image (h, w) or a colour image (h, w, 3), of an image of any shape."""
    image = np.squeeze(image)
    if image.ndim < 3:
        return np.atleast_1d(image)
    if image.ndim == 3 and 3 in (image.shape[0], image.shape[-1]):
        return np.moveaxis(image, 0, -1) if image.shape[0] == 3 else image
    if image.ndim == 3 and image.shape[-1] < min(image.shape[:2]):
        image = np.moveaxis(image, -1, 0)
    return _tiled(image.reshape(-1, *image.shape[-2:]))


def _tiled(channels: FloatArray) -> FloatArray:
    """Grey images, shape (count, h, w), in one, row by row with nothing between them."""
    columns = math.ceil(math.sqrt(len(channels)))
    height, width = channels.shape[1] + GAP, channels.shape[2] + GAP
    rows = math.ceil(len(channels) / columns)
    sheet = np.full((rows * height - GAP, columns * width - GAP), np.nan)
    for number, channel in enumerate(channels):
        top, left = (number // columns) * height, (number % columns) * width
        sheet[top : top + height - GAP, left : left + width - GAP] = channel
    return sheet


def _show(axis: Axes, picture: FloatArray, **how: Any) -> None:
    height, width = picture.shape[:2]
    slim = max(height, width) > 5 * min(height, width)
    axis.set_facecolor("lightsteelblue")  # of gaps between channels, as no grey is
    axis.imshow(picture, aspect="auto" if slim else "equal", interpolation="nearest", **how)
    axis.set_xticks([])
    axis.set_yticks([])


def _plot(axis: Axes, signal: FloatArray, low: float, high: float) -> None:
    """A signal as steps; a change, whose `low` is negative, as bars from 0."""
    is_change = low < 0.0
    edges = np.arange(len(signal) + 1) - 0.5
    axis.stairs(signal, edges, fill=is_change, baseline=0.0 if is_change else None, color="0.2")
    if is_change:
        axis.axhline(0.0, color="0.2", linewidth=0.6)
    slack = 0.05 * (high - low)
    axis.set_ylim(low - slack, high + slack)
    axis.set_yticks([low, (low + high) / 2.0, high])
    axis.set_yticklabels([f"{tick:.3g}" for tick in (low, (low + high) / 2.0, high)])
    axis.set_xlim(-0.5, len(signal) - 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axis.tick_params(labelsize=7)
