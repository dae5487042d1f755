"""Networks in the formats of others, read into threshold layers.

docs/how-to/import-other-formats.md shows and explains these functions; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import eye_array

import bnnopt
from bnnopt.network.folding import fold
from bnnopt.network.unroll import pixel_cuts

__all__ = ["from_chainer", "from_csv", "from_state_dict"]


def linear_head(weight: Any, bias: Any) -> bnnopt.OutputLayer:
    """A head whose weights are signs, of scale 1."""
    return bnnopt.OutputLayer(np.sign(weight), np.ones(len(bias)), bias)


def from_chainer(path: str | Path, shape: tuple[int, int]) -> bnnopt.BinarizedNetwork:
    """Chainer's arrays: batch norm and sign on each pixel, blocks of the same, a linear head."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name].astype(np.float64) for name in file.files}

    def norm(name: str, bias: Any = 0.0) -> dict[str, Any]:
        return {
            "gamma": arrays[f"{name}/gamma"],
            "beta": arrays[f"{name}/beta"],
            "mu": arrays[f"{name}/avg_mean"] - bias,
            "sigma": np.sqrt(arrays[f"{name}/avg_var"] + 2e-5),
        }

    identity = eye_array(shape[0] * shape[1], dtype=np.int64, format="csr")
    hidden = [fold(identity, levels=255, **norm("input_bn"))]
    for number in range(sum(name.endswith("/lin/W") for name in arrays)):
        block = f"blocks/{number}"
        weight, bias = np.sign(arrays[f"{block}/lin/W"]), arrays[f"{block}/lin/b"]
        hidden.append(fold(weight, **norm(f"{block}/bn", bias)))
    head = linear_head(arrays["output_lin/W"], arrays["output_lin/b"])
    return bnnopt.BinarizedNetwork(tuple(hidden), head, input_shape=shape)


def from_state_dict(path: str | Path, shape: tuple[int, int], cut: str) -> bnnopt.BinarizedNetwork:
    """Layers fc1, fc2, ... and norms bn1, ... of a torch state dict, behind `pixel >= cut`."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    arrays = {name: tensor.double().numpy() for name, tensor in state.items()}
    *blocks, last = sorted(name[2:-7] for name in arrays if name[:2] + name[-7:] == "fc.weight")
    hidden = [pixel_cuts(shape, cut)]
    for number in blocks:
        layer = fold(
            np.sign(arrays[f"fc{number}.weight"]),
            gamma=arrays[f"bn{number}.weight"],
            beta=arrays[f"bn{number}.bias"],
            mu=arrays[f"bn{number}.running_mean"] - arrays[f"fc{number}.bias"],
            sigma=np.sqrt(arrays[f"bn{number}.running_var"] + 1e-5),
        )
        hidden.append(layer)
    head = linear_head(arrays[f"fc{last}.weight"], arrays[f"fc{last}.bias"])
    return bnnopt.BinarizedNetwork(tuple(hidden), head, input_shape=shape)


def from_csv(folder: str | Path, shape: tuple[int, int], cut: str) -> bnnopt.BinarizedNetwork:
    """Folders blk1, blk2, ... and out_blk, a CSV file an array, behind `pixel >= cut`."""
    folder = Path(folder)

    def read(block: str, name: str, dimensions: Any = 1) -> Any:
        return np.loadtxt(folder / block / f"{name}.csv", delimiter=",", ndmin=dimensions)

    hidden = [pixel_cuts(shape, cut)]
    for block in sorted(path.name for path in folder.glob("blk*")):
        layer = fold(
            read(block, "lin_weight", 2),
            gamma=read(block, "bn_weight"),
            beta=read(block, "bn_bias"),
            mu=read(block, "bn_mean") - read(block, "lin_bias"),
            sigma=np.sqrt(read(block, "bn_var") + 1e-5),
        )
        hidden.append(layer)
    head = linear_head(read("out_blk", "lin_weight", 2), read("out_blk", "lin_bias"))
    return bnnopt.BinarizedNetwork(tuple(hidden), head, input_shape=shape)
