"""Export: fold a trained network, check it against the float one, and describe it."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bnnopt import datasets
from bnnopt.errors import ExportError
from bnnopt.network import BinarizedNetwork, Convolution, HiddenLayer, OutputLayer
from bnnopt.network.folding import fold
from bnnopt.network.unroll import pixel_cuts
from bnnopt.training.loop import TrainingRun
from bnnopt.training.model import BinaryConvolution, BinaryLayer, PixelCuts, TrainableNetwork
from bnnopt.training.recipe import LEVELS

__all__ = ["check_agreement", "export", "fold_model"]

_Array = npt.NDArray[np.float64]

BATCH = 1000


def fold_model(
    model: TrainableNetwork, input_shape: tuple[int, ...] | None = None
) -> tuple[tuple[HiddenLayer, ...], OutputLayer]:
    """The folded layers of a trained network.

    Parameters
    ----------
    model : TrainableNetwork
        In evaluation mode.
    input_shape : tuple of int, optional
        Of an image, for networks with cuts; (n,) if not given.
    """
    hidden = [] if model.cuts is None else [_cuts(model.cuts, input_shape or (model.num_inputs,))]
    for layer, norm in zip(model.hidden, model.norms, strict=True):
        levels = None if hidden else model.num_levels
        hidden.append(fold(_linear_map(layer), *_norm_parameters(norm), levels))
    weight = _array(model.output.weights(model.output.latent.double()))
    if model.head == "integer":
        bias = _array(model.bias).round()
        return tuple(hidden), OutputLayer(weight, np.ones(len(bias)), bias)
    gamma, beta, mu, sigma = _norm_parameters(model.output_norm)
    return tuple(hidden), OutputLayer(weight, gamma / sigma, beta - gamma * mu / sigma)


def _cuts(cuts: PixelCuts, shape: tuple[int, ...]) -> HiddenLayer:
    """Whole numbers and a half are fractions of the levels."""
    found = [Fraction(cut) / LEVELS for cut in _array(cuts.levels()).tolist()]
    return pixel_cuts(shape, found, levels=LEVELS)


def _linear_map(layer: nn.Module) -> npt.NDArray[np.int8] | Convolution:
    assert isinstance(layer, BinaryLayer)
    weight = _array(layer.weights(layer.latent.double())).astype(np.int8)
    if not isinstance(layer, BinaryConvolution):
        return weight
    padding = (layer.padding, layer.padding)
    stride = (layer.stride, layer.stride)
    return Convolution(weight, layer.input_shape, stride, (padding, padding))


def export(run: TrainingRun) -> BinarizedNetwork:
    """Fold a training run and check it on the whole test set.

    Parameters
    ----------
    run : TrainingRun
        What `train` gave.

    Raises
    ------
    ExportError
        If the folded network disagrees with the float one on a single test image.
    """
    test = datasets.load(run.recipe.dataset, "test")
    hidden, output = fold_model(run.model, test.images.shape[1:])
    network = BinarizedNetwork(
        hidden,
        output,
        LEVELS,
        name=run.recipe.name,
        dataset=run.recipe.dataset,
        input_shape=test.images.shape[1:],
        class_names=test.class_names,
    )
    share = float(np.mean(check_agreement(run.model, network, test.images) == test.labels))
    recipe = run.recipe.as_dict() | {
        "accuracy_float": share,  # the two agree on every image, or we would not be here
        "seconds": round(run.seconds, 1),
        "device": run.device,
        "torch": torch.__version__,
    }
    return replace(network, accuracy=share, recipe=recipe)


def check_agreement(
    model: TrainableNetwork, network: BinarizedNetwork, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int64]:
    """Compare the folded network with the float one, in float64, neuron by neuron.

    Parameters
    ----------
    model : TrainableNetwork
        In evaluation mode.
    network : BinarizedNetwork
        What it was folded to.
    images : array of uint8, shape (count, ...)
        Grey levels.

    Returns
    -------
    array of int64, shape (count,)
        The predictions, on which both agree.

    Raises
    ------
    ExportError
        If an activation, a logit (by more than 1e-9 of its size) or a prediction differs.
    """
    float_model = copy.deepcopy(model).cpu().double().eval()
    flat = images.reshape(len(images), -1)
    predictions = []
    for start in range(0, len(flat), BATCH):
        x = flat[start : start + BATCH] / float(network.levels)
        with torch.no_grad():
            signs = float_model.activations(torch.from_numpy(x))
            logits = float_model.logits(signs[-1]).numpy()
        wrong = np.zeros(len(x), dtype=bool)
        for folded_signs, float_signs in zip(network.activations(x), signs, strict=True):
            wrong |= np.any(folded_signs != float_signs.numpy(), axis=1)
        folded = network.logits(x)
        wrong |= ~np.all(np.isclose(folded, logits, rtol=1e-9, atol=1e-9), axis=1)
        wrong |= folded.argmax(axis=1) != logits.argmax(axis=1)
        if np.any(wrong):
            raise ExportError(
                f"the folded network disagrees with the trained one on {int(wrong.sum())} images, "
                f"the first being number {start + int(np.argmax(wrong))}: nothing was written"
            )
        predictions.append(folded.argmax(axis=1))
    return np.concatenate(predictions)


def _norm_parameters(norm: nn.Module) -> tuple[_Array, _Array, _Array, _Array]:
    """Scale, shift, running mean and standard deviation."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    sigma = np.sqrt(_array(norm.running_var) + norm.eps)
    return _array(norm.weight), _array(norm.bias), _array(norm.running_mean), sigma


def _array(tensor: Tensor) -> _Array:
    return tensor.detach().cpu().double().numpy()
