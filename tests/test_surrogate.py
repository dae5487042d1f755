from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt import BinarizedNetwork
from bnnopt.errors import InputError
from bnnopt.row_units import layer_units
from bnnopt.surrogate import (
    AdaptiveSign,
    ClippedSign,
    HardTanh,
    StraightThroughNetwork,
    distances,
    layer_scales,
    surrogate_logits,
)
from tests.helpers import random_image, random_network
from tests.kinds import admissible, instance_of, networks

shapes = st.sampled_from([(4,), (4, 3), (3, 4, 3), (3, 3, 3, 3, 3)])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    widths=shapes,
    head=st.sampled_from(["integer", "batchnorm"]),
    is_adaptive=st.booleans(),
)
def test_the_forward_pass_is_the_networks_on_thresholds_too(
    seed: int, widths: tuple[int, ...], head: str, is_adaptive: bool
) -> None:
    network = random_network(seed, widths=widths, head=head)
    images = np.array([random_image(network, seed + k) for k in range(20)])
    model = StraightThroughNetwork(network, AdaptiveSign(0.2) if is_adaptive else None)
    logits = model(torch.from_numpy(images)).detach().numpy()
    assert np.allclose(logits, network.logits(images), rtol=0.0, atol=1e-12)


@settings(max_examples=150)
@given(
    network=networks,
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    is_sparse=st.booleans(),
)
def test_the_forward_pass_of_every_kind_is_the_networks(
    network: BinarizedNetwork, seed: int, dtype: torch.dtype, is_sparse: bool
) -> None:
    points = admissible(instance_of(network, seed, domain="pixels"))
    with pytest.MonkeyPatch.context() as patched:
        if is_sparse:
            patched.setattr(distances, "DENSE_SIZE", 0)
            patched.setattr(distances, "DENSE_SHARE", 2.0)
        model = StraightThroughNetwork(network, dtype=dtype)
        z = torch.from_numpy(points).to(dtype).requires_grad_()
        model.with_activation(AdaptiveSign(0.2)).logits_of_levels(z)[:, 0].sum().backward()
        found = model.logits_of_levels(z).detach().numpy()
    exact = network.logits_of_levels(points)
    assert z.grad is not None and z.grad.shape == z.shape
    if dtype == torch.float64:
        assert np.array_equal(found, exact)
    else:
        assert np.allclose(found, exact, rtol=1e-5, atol=1e-5)


@settings(max_examples=80)
@given(network=networks, seed=st.integers(0, 10**6), is_sparse=st.booleans())
def test_the_gradient_of_every_kind_is_the_chain_rules(
    network: BinarizedNetwork, seed: int, is_sparse: bool
) -> None:
    instance = instance_of(network, seed)
    with pytest.MonkeyPatch.context() as patched:
        if is_sparse:
            patched.setattr(distances, "DENSE_SIZE", 0)
            patched.setattr(distances, "DENSE_SHARE", 2.0)
        model = StraightThroughNetwork(network, ClippedSign([1e9] * network.depth))
        z = torch.from_numpy(instance.levels[None].copy()).requires_grad_()
        model.logits_of_levels(z)[0, 0].backward()
    expected = network.output.scale[0] * network.output.weight[0].astype(float)
    for layer in network.hidden[::-1]:
        rows = layer.rows(np.arange(layer.shape[0]))
        expected = (expected / layer_units(layer)) @ rows.toarray()
    assert z.grad is not None
    assert np.allclose(z.grad[0].numpy(), expected, rtol=1e-12, atol=1e-12)


def test_the_first_layers_adaptive_clip_is_at_most_a_share_of_what_the_box_reaches() -> None:
    distance = torch.tensor([[8.0, -40.0, 120.0]])
    for layer, reach, scale in ((0, 4.0, 4.0), (0, 1e9, 28.0), (1, 4.0, 56.0)):
        given = distance.clone().requires_grad_()
        AdaptiveSign(0.5, torch.tensor([[reach]]))(given, layer).sum().backward()
        expected = 1.0 / (1.0 + (distance / (0.5 * scale)) ** 2)
        assert given.grad is not None
        assert torch.allclose(given.grad, expected)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_gradient_is_that_of_the_chain_rule_with_one_inside_the_clip(depth: int) -> None:
    network = random_network(3, inputs=6, widths=(5,) * depth)
    scales = [4.0] + [1.5] * (depth - 1)
    image = random_image(network, 3)
    x = torch.tensor(image[None], requires_grad=True)
    StraightThroughNetwork(network, ClippedSign(scales))(x)[0, 1].backward()
    values, slopes = image * network.levels, []
    for layer, scale in zip(network.hidden, scales, strict=True):
        distance = layer.weight @ values - layer.threshold
        slopes.append(np.abs(distance) <= scale)
        values = np.where(distance >= 0, 1.0, -1.0)
    expected = network.output.weight[1].astype(float)
    for layer, slope in zip(network.hidden[::-1], slopes[::-1], strict=True):
        expected = (expected * slope) @ layer.weight
    assert x.grad is not None
    assert np.array_equal(x.grad[0].numpy(), expected * network.levels)


def test_the_surrogates_logits_are_those_of_hard_tanhs() -> None:
    network = random_network(5, inputs=6, widths=(5, 4))
    images = np.array([random_image(network, k) for k in range(8)])
    values = images * network.levels
    for layer, scale in zip(network.hidden, (7 * np.sqrt(6) / 2, np.sqrt(5)), strict=True):
        values = np.clip((values @ layer.weight.T - layer.threshold) / scale, -1.0, 1.0)
    expected = values @ network.output.weight.T + network.output.bias
    assert np.allclose(surrogate_logits(network, images), expected)
    assert np.allclose(surrogate_logits(network, images[0]), expected[:1])


def test_the_surrogates_gradient_is_its_derivative() -> None:
    network = random_network(5, inputs=6, widths=(5, 4))
    model = StraightThroughNetwork(network, HardTanh(layer_scales(network)))
    x = torch.full((1, 6), 0.43, dtype=torch.float64, requires_grad=True)
    model(x)[0, 0].backward()
    assert x.grad is not None
    for pixel in range(6):
        ahead, back = x.detach().clone(), x.detach().clone()
        ahead[0, pixel] += 1e-4
        back[0, pixel] -= 1e-4
        slope = (model(ahead) - model(back))[0, 0] / 2e-4
        assert float(x.grad[0, pixel]) == pytest.approx(float(slope), rel=1e-3, abs=1e-6)


def test_the_surrogate_takes_images_only() -> None:
    network = random_network(1)
    with pytest.raises(InputError, match=r"lie in \[0, 1\]"):
        surrogate_logits(network, [0.1, 0.2, 0.3, 1.5])


def passing_share(model: StraightThroughNetwork, x: torch.Tensor) -> float:
    """Mean derivative of the first layer's signs."""
    distance = model.distances[0](x * model.levels).requires_grad_()
    model.activation(distance, 0).sum().backward()
    assert distance.grad is not None
    return float(distance.grad.mean())


def test_an_adaptive_clip_lets_gradient_pass_where_a_clip_of_raw_sums_does_not() -> None:
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    data = bnnopt.datasets.embedded()
    x = torch.from_numpy(np.array([np.ravel(data.x(k)) for k in range(50)]))
    raw = StraightThroughNetwork(network, ClippedSign([1.0, 1.0]))
    adaptive = StraightThroughNetwork(network, AdaptiveSign(0.2))
    assert passing_share(raw, x) < 0.01
    assert 0.02 < passing_share(adaptive, x) < 0.5


def test_the_paper_s_clip_is_about_the_spread_of_pre_activations() -> None:
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    data = bnnopt.datasets.embedded()
    images = np.array([np.ravel(data.x(k)) for k in range(100)])
    inputs = [network.levels_of(images), *network.activations_of_levels(network.levels_of(images))]
    for layer, scale, values in zip(
        network.hidden, layer_scales(network), inputs[:-1], strict=True
    ):
        spread = (layer.pre_activation(values) - layer.threshold).std()
        assert 0.5 < spread / scale < 2.0
