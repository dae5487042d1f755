"""The gallery of a report: what some of the attacks look like."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imsave

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.store import Row, Store
from bnnopt.campaign.task import decode_levels
from bnnopt.datasets.catalog import CATALOG
from bnnopt.network import BinarizedNetwork
from bnnopt.report.pictures import picture, plot

__all__ = ["Exhibit", "data_uri", "exhibits"]

FloatArray = npt.NDArray[np.float64]

MOST = 12


@dataclass(frozen=True)
class Exhibit:
    """One attack.

    Parameters
    ----------
    title : str
    images : list of (str, str)
        A caption, and a PNG as a ``data:`` address.
    logits : list of (str, float, float)
        Class, before and after.
    before, after : str
        The predicted classes.
    """

    title: str
    images: list[tuple[str, str]]
    logits: list[tuple[str, float, float]]
    before: str
    after: str


def exhibits(store: Store, frame: pd.DataFrame) -> list[Exhibit]:
    """Up to 12 attacks: those that flip first, small epsilons first, every image once.

    Parameters
    ----------
    store : Store
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    """
    order = frame.sort_values(
        ["flipped", "epsilon", "normalized"], ascending=[False, True, False], kind="stable"
    )
    chosen = order.drop_duplicates(["dataset", "image"]).head(MOST)
    rows = {row.key: row for row in store.rows() if row.key in set(chosen["key"])}
    networks = chosen.set_index("key")["network"]
    return [_exhibit(store, rows[key], str(networks[key])) for key in chosen["key"]]


def _exhibit(store: Store, row: Row, name: str) -> Exhibit:
    cell = Cell.from_definition(row.definition)
    network = store.network(cell.network)
    original = network.levels_of(store.image(cell)[0])[0] / network.levels
    adversarial = decode_levels(row.levels or b"") / network.levels
    reach = max(cell.epsilon, 1e-12)
    names = _class_names(network, cell.dataset)
    before, after = network.logits(original), network.logits(adversarial)
    first, last = (picture(x.reshape(network.input_shape)) for x in (original, adversarial))
    return Exhibit(
        f"{name}, image {cell.image}, ε = {cell.epsilon:g}, {row.attack}",
        [
            ("original", _image(first)),
            (f"change, {0.5 / reach:.0f} times", _change(last - first, reach)),
            ("adversarial", _image(last)),
        ],
        [(label, float(a), float(b)) for label, a, b in zip(names, before, after, strict=False)],
        names[int(np.argmax(before))],
        names[int(np.argmax(after))],
    )


def _class_names(network: BinarizedNetwork, dataset: str) -> Sequence[str]:
    """The network's, or its data set's, or numbers."""
    known = CATALOG[dataset].class_names if dataset in CATALOG else ()
    return network.class_names or known or [str(c) for c in range(network.num_classes)]


def _image(drawn: FloatArray) -> str:
    """A signal, a grey or a colour image; of values in [0, 1]."""
    if drawn.ndim == 1:
        return _signal(drawn, 0.0, 1.0)
    return _png(np.clip(drawn, 0.0, 1.0), cmap="gray", vmin=0.0, vmax=1.0)


def _change(drawn: FloatArray, reach: float) -> str:
    """Likewise what changed, by up to `reach`; where nothing did a colour image is grey."""
    if drawn.ndim == 1:
        return _signal(drawn, -reach, reach)
    if drawn.ndim == 3:
        return _png(np.clip(0.5 + drawn / (2.0 * reach), 0.0, 1.0))
    return _png(drawn, cmap="RdBu_r", vmin=-reach, vmax=reach)


def _signal(drawn: FloatArray, low: float, high: float) -> str:
    figure = Figure(figsize=(2.4, 1.6), layout="constrained")
    plot(figure.subplots(), drawn, low, high)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return data_uri(stream.getvalue())


def _png(image: FloatArray, **how: object) -> str:
    stream = io.BytesIO()
    imsave(stream, image, format="png", **how)  # type: ignore[arg-type]
    return data_uri(stream.getvalue())


def data_uri(png: bytes) -> str:
    """A PNG within a page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
