"""The gallery of a report: what some of the attacks look like."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from bnnopt.report.page_tables import KEY_LENGTH
from bnnopt.report.pictures import picture, plot

__all__ = ["Exhibit", "class_names", "data_uri", "exhibits"]

FloatArray = npt.NDArray[np.float64]

MOST = 12


@dataclass(frozen=True)
class Exhibit:
    """One attack.

    Parameters
    ----------
    title : str
        What was attacked, and how.
    cell : str
        The first digits of its key, as the table of all attacks has them.
    images : list of (str, str)
        A caption, and a PNG as a ``data:`` address.
    logits : list of (str, float, float)
        Class, before and after.
    before, after : str
        The predicted classes.
    label : str
        The true class.
    flipped : bool
        Whether the other image's class is another one.
    start, margin : float
        Of the original image, and of the other one.
    """

    title: str
    cell: str
    images: list[tuple[str, str]]
    logits: list[tuple[str, float, float]]
    before: str
    after: str
    label: str
    flipped: bool
    start: float
    margin: float


def exhibits(store: Store, frame: pd.DataFrame) -> list[Exhibit]:
    """Up to 12 flips: small epsilons first, and of those large margins.

    Images that are predicted right come before others, and before an image comes again, of another
    network, every one has come once. Where nothing is flipped, the attacks that come nearest to it.

    Parameters
    ----------
    store : Store
        What to report of.
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    """
    rows = frame[frame["flipped"] == frame["flipped"].max()]
    rows = rows.assign(wrong=rows["label"] != rows["source"])
    order = rows.sort_values(
        ["wrong", "epsilon", "normalized"] if rows["flipped"].any() else ["normalized"],
        ascending=[True, True, False] if rows["flipped"].any() else [False],
        kind="stable",
    )
    once = order.drop_duplicates(["network", "image"])
    again = once.groupby(["dataset", "image"]).cumcount()
    chosen = once.loc[again.sort_values(kind="stable").index].head(MOST)
    stored = {row.key: row for row in store.rows() if row.key in set(chosen["key"])}
    return [_exhibit(store, stored[str(row["key"])], row) for _, row in chosen.iterrows()]


def _exhibit(store: Store, row: Row, result: pd.Series[Any]) -> Exhibit:
    cell = Cell.from_definition(row.definition)
    network = store.network(cell.network)
    image, label = store.image(cell)
    original = network.levels_of(image)[0] / network.levels
    adversarial = decode_levels(row.levels or b"") / network.levels
    names = class_names(network, cell.dataset)
    before, after = network.logits(original), network.logits(adversarial)
    flipped = bool(result["flipped"])
    where = f"image {cell.image}, ε\u00a0=\u00a0{cell.epsilon:.4g}"
    return Exhibit(
        f"{result['network']}, {where}, {result['series']}",
        row.key[:KEY_LENGTH],
        _pictures(network, original, adversarial, cell.epsilon, flipped),
        [(name, float(a), float(b)) for name, a, b in zip(names, before, after, strict=False)],
        names[int(np.argmax(before))],
        names[int(result["target"]) if flipped else int(np.argmax(after))],
        names[label],
        flipped,
        float(result["start_objective"]),
        float(result["objective"]),
    )


def _pictures(
    network: BinarizedNetwork,
    original: FloatArray,
    found: FloatArray,
    epsilon: float,
    flipped: bool,
) -> list[tuple[str, str]]:
    """What was attacked, the change and what came of it, which is adversarial if it flips."""
    first, last = (picture(x.reshape(network.input_shape)) for x in (original, found))
    kept = "unchanged" if np.array_equal(original, found) else "nearest, no flip"
    return [
        ("original", _image(first)),
        (f"change, up to ±{epsilon:.4g}", _change(last - first, max(epsilon, 1e-12))),
        ("adversarial" if flipped else kept, _image(last)),
    ]


def class_names(network: BinarizedNetwork, dataset: str) -> Sequence[str]:
    """The network's own, or the data set's, or numbers.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose classes they are.
    dataset : str
        Whose names serve where the network has none.
    """
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


def data_uri(image: bytes, kind: str = "png") -> str:
    """An image within a page.

    Parameters
    ----------
    image : bytes
        A whole file.
    kind : str
        Of image: ``png`` or ``svg+xml``.
    """
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
