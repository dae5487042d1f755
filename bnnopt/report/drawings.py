"""Figures of single results and networks, for notebooks."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnnopt.network import BinarizedNetwork
from bnnopt.report.attack_figure import draw_attacks
from bnnopt.report.pictures import picture, plot, show
from bnnopt.result import AttackResult

__all__ = ["ShownFigure", "attack", "network"]

MOST_NEURONS = 24
COLUMNS = 8


class ShownFigure(Figure):
    """A figure that a notebook shows, whatever its backend."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=100)
        return stream.getvalue()


def attack(result: AttackResult) -> ShownFigure:
    """The original image, what was changed, and the adversarial image.

    Parameters
    ----------
    result : AttackResult
    """
    figure = ShownFigure(figsize=(7.8, 2.8), layout="constrained")
    draw_attacks(figure, [result], result.class_names)
    return figure


def network(drawn: BinarizedNetwork) -> ShownFigure:
    """The weights of the first neurons of the first layer, or a convolution's first kernels.

    Parameters
    ----------
    drawn : BinarizedNetwork
    """
    images = _weights(drawn)
    rows = math.ceil(len(images) / COLUMNS)
    columns = min(len(images), COLUMNS)
    figure = ShownFigure(figsize=(1.1 * columns + 0.3, 1.1 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image in zip(axes, images, strict=False):
        _draw(axis, image)
    first = drawn.hidden[0]
    what = "kernels" if first.convolution is not None else "neurons"
    count = len(first.convolution.kernel) if first.convolution is not None else first.shape[0]
    figure.suptitle(
        f"{drawn.name or 'network'}: weights of {len(images)} of {count} first {what} "
        "(red +, blue -)",
        fontsize=9,
    )
    return figure


def _weights(drawn: BinarizedNetwork) -> list[npt.NDArray[np.float64]]:
    first = drawn.hidden[0]
    if first.convolution is not None:
        kernels = first.convolution.kernel[:MOST_NEURONS].astype(np.float64)
        return [picture(kernel) for kernel in kernels]
    rows = first.rows(np.arange(min(first.shape[0], MOST_NEURONS))).toarray()
    return [picture(row.reshape(drawn.input_shape)) for row in rows]


def _draw(axis: Axes, image: npt.NDArray[np.float64]) -> None:
    reach = float(np.nanmax(np.abs(image))) or 1.0
    if image.ndim == 1:
        axis.axis("on")
        plot(axis, image, -reach, reach)
    elif image.ndim == 3:
        show(axis, np.clip(0.5 + image / (2.0 * reach), 0.0, 1.0))
    else:
        show(axis, image, cmap="RdBu_r", vmin=-reach, vmax=reach)
