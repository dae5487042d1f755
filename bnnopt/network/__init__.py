"""The folded binarized network: whole weights and thresholds, and its exact forward pass.

Numpy, scipy for sparse layers, and of bnnopt what reads files, images and arguments: all else
stands on this package.
"""

from __future__ import annotations

from bnnopt.network.binarized import GRID, BinarizedNetwork
from bnnopt.network.convolution import Convolution
from bnnopt.network.fingerprint import fingerprint
from bnnopt.network.layers import HiddenLayer, OutputLayer

__all__ = [
    "GRID",
    "BinarizedNetwork",
    "Convolution",
    "HiddenLayer",
    "OutputLayer",
    "fingerprint",
]
