"""What a network is known by: a hash of what it computes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.network.binarized import BinarizedNetwork

__all__ = ["fingerprint"]


def fingerprint(network: BinarizedNetwork) -> str:
    """SHA-256, in hexadecimal, of what the network computes: not its name, not its recipe.

    It does not depend on how a layer is kept: a convolution, its rows in CSR and the same rows
    with zeros have one. Networks of ±1 throughout keep that of the first edition.

    Parameters
    ----------
    network : BinarizedNetwork
        Of any kind.
    """
    hidden, output = network.given
    if output.is_binary and all(layer.is_dense for layer in hidden):
        return _first_edition(network)
    digest = hashlib.sha256(b"bnnopt network 2")
    head = [network.levels, network.input_shape, network.widths, network.num_classes]
    digest.update(json.dumps(head).encode())
    for layer in network.hidden:
        _add(digest, layer.threshold.astype("<i8"))
        rows = layer.weight
        if isinstance(rows, np.ndarray):
            _add(digest, np.packbits(rows > 0))
            continue
        for part, kind in ((rows.data, "<i2"), (rows.indices, "<i4"), (rows.indptr, "<i4")):
            _add(digest, part.astype(kind, copy=False))
    for values in (network.output.weight, network.output.scale, network.output.bias):
        _add(digest, values.astype("<f8") + 0.0)  # -0.0 is 0.0
    return digest.hexdigest()


def _add(digest: Any, array: npt.NDArray[Any]) -> None:
    """An array with its type and size, so that no two sequences of arrays read the same."""
    digest.update(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)


def _first_edition(network: BinarizedNetwork) -> str:
    digest = hashlib.sha256()
    head = [network.levels, network.input_shape, network.widths, network.num_classes]
    digest.update(json.dumps(head).encode())
    hidden, output = network.given
    for layer in hidden:
        digest.update(np.packbits(np.asarray(layer.weight) > 0).tobytes())
        digest.update(layer.threshold.astype("<i8").tobytes())
    digest.update(np.packbits(output.weight > 0).tobytes())
    for values in (output.scale, output.bias):
        digest.update(values.astype("<f8").tobytes())
    return digest.hexdigest()
