"""Torch modules become the same networks, whatever way their signs are written in."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import bnnopt
from bnnopt.errors import ImportDisagreesError, InputError, NetworkFormatError
from bnnopt.exchange.comparison.agreement import Agreement, compared
from bnnopt.exchange.torch import read_torch
from bnnopt.network import BinarizedNetwork, OutputLayer
from tests.exchange import modules
from tests.exchange.modules import SIGNS, Binary, BinaryConv, Sign, SignOfAll, with_random_norms


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def agreement(module: nn.Module, *shape: int, images: int = 90, **reading: Any) -> Agreement:
    found = compared(read_torch(module, torch.zeros(1, *shape), **reading), images)
    found.raise_if_wrong()
    assert found.neurons > 0
    return found


def refusal(module: nn.Module, *shape: int, **reading: Any) -> str:
    with pytest.raises(NetworkFormatError) as raised:
        read_torch(module, torch.zeros(1, *shape), **reading)
    assert "\n" not in str(raised.value)
    return str(raised.value)


class Function(nn.Module):
    """A function of an image, and of layers that it closes over."""

    def __init__(self, function: Any, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def test_a_network_as_binarynet_writes_it_is_read() -> None:
    module = nn.Sequential(
        nn.Flatten(),
        Binary(784, 30),
        nn.BatchNorm1d(30),
        nn.Hardtanh(inplace=True),
        Binary(30, 20),
        nn.BatchNorm1d(20),
        nn.Hardtanh(),
        nn.Dropout(0.5),
        Binary(20, 10),
        nn.LogSoftmax(-1),
    )
    found = read_torch(with_random_norms(module), torch.zeros(1, 1, 28, 28), mean=0.13, std=0.31)
    assert [layer.shape for layer in found.network.hidden] == [(30, 784), (20, 30)]
    assert found.softmax and found.network.input_shape == (1, 28, 28)
    assert compared(found, 200).wrong == ""


def test_a_convolutional_network_is_read_as_one_of_kernels() -> None:
    module = nn.Sequential(
        BinaryConv(2, 6, 3, padding=1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(6),
        nn.Hardtanh(inplace=True),
        Sign(SignOfAll.apply),
        BinaryConv(6, 5, 3, stride=2, bias=False),
        nn.BatchNorm2d(5, affine=False),
        Sign(modules.straight_through),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.Linear(5, 4),
        nn.Softmax(dim=1),
    )
    found = read_torch(with_random_norms(module), torch.zeros(3, 2, 12, 12))
    assert [layer.output_shape for layer in found.network.hidden] == [
        (6, 12, 12),
        (6, 6, 6),
        (5, 2, 2),
    ]
    assert all(layer.convolution is not None for layer in found.network.hidden)
    assert compared(found, 100).wrong == ""


@pytest.mark.parametrize("name", SIGNS)
def test_every_way_to_write_a_sign_is_read_for_what_it_gives_at_zero(name: str) -> None:
    first = nn.Linear(4, 3, bias=False)
    first.weight.data = torch.tensor([[1.0, -1, 1, -1], [1, 1, -1, -1], [1, -2, 1, 0]])
    module = nn.Sequential(first, Sign(SIGNS[name]), nn.Linear(3, 2)).double()
    images = np.array([[3, 3, 5, 5], [7, 7, 7, 7], [1, 2, 3, 4], [9, 0, 0, 0]], dtype=np.uint8)
    network = bnnopt.from_torch(
        module, torch.zeros(1, 4, dtype=torch.float64), input_range=(0, 255), check=images
    )
    with torch.no_grad():
        expected = module(torch.tensor(images, dtype=torch.float64)).numpy()
    assert np.allclose(network.logits(images), expected, rtol=1e-12, atol=1e-12)
    # No sign costs more than two neurons an element.
    assert len(network.hidden) == 1 and network.hidden[0].shape[0] <= 6


def test_straight_through_estimators_that_only_change_the_gradient_leave_no_trace() -> None:
    for function in (modules.straight_through, modules.polynomial):
        module = nn.Sequential(nn.Linear(6, 5), Sign(function), nn.Linear(5, 3))
        found = read_torch(module, torch.zeros(1, 6))
        assert list(found.signs) == ["1.sign"]
        assert compared(found, 100).wrong == ""


def test_copies_of_signs_that_skip_a_layer_are_added_and_joined() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        first = torch.sign(self.first(x))
        second = torch.sign(self.second(first) + first)
        joined = torch.cat([first, second[:, 1:]], 1)
        return self.last(joined)

    parts = {
        "first": nn.Linear(9, 4),
        "second": Binary(4, 4, bias=False),
        "last": nn.Linear(7, 3),
    }
    assert agreement(Function(forward, **parts), 9).neurons == 7


def test_loops_views_and_permutations_are_followed() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1).contiguous().view(x.shape[0], -1, 3)
        x = torch.stack([part.sum(2) - 1.5 for part in x.chunk(2, dim=1)], 1)
        x = torch.sign(x.transpose(1, 2).flip(1).reshape(len(x), -1))
        for _ in range(2):
            x = torch.sign(functional.linear(x, self.square.weight.sign(), self.square.bias))
        return x[:, :3] - x[:, -3:]

    assert agreement(Function(forward, square=nn.Linear(16, 16)), 3, 4, 4).neurons == 48


def test_one_dimensional_layers_are_read() -> None:
    module = nn.Sequential(
        nn.Conv1d(1, 4, 3, padding=1),
        nn.BatchNorm1d(4),
        Sign(torch.sign),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    agreement(with_random_norms(module), 1, 8)


def test_pooling_of_every_kind_is_that_of_torch() -> None:
    for pool in (
        nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.AvgPool2d(3, stride=2, padding=1),
        nn.AvgPool2d(2, padding=1, count_include_pad=False, ceil_mode=True),
        nn.AdaptiveMaxPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        nn.ZeroPad2d((1, 2, 0, 1)),
    ):
        convolution = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        module = nn.Sequential(convolution, Sign(torch.sign), pool, nn.Flatten(), nn.LazyLinear(2))
        module(torch.zeros(1, 1, 6, 6))
        agreement(module, 1, 6, 6)
        before = nn.Sequential(convolution, pool, Sign(torch.sign), nn.Flatten(), module[4])
        agreement(before, 1, 6, 6)


def test_the_module_is_left_as_it_was() -> None:
    module = with_random_norms(
        nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Dropout(), Binary(6, 3))
    )
    module.train()
    module(torch.rand(4, 8)).sum().backward()
    before = copy.deepcopy(module.state_dict())
    gradients = [part.grad.clone() for part in module.parameters()]
    example = torch.rand(2, 8)
    given = example.clone()
    bnnopt.from_torch(module, example)
    assert module.training and all(part.training for part in module.modules())
    assert all(torch.equal(before[name], now) for name, now in module.state_dict().items())
    for old, part in zip(gradients, module.parameters(), strict=True):
        assert torch.equal(old, part.grad)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.equal(example, given)


def test_double_precision_is_compared_in_double_precision() -> None:
    module = nn.Sequential(nn.Linear(20, 9), Sign(torch.sign), nn.Linear(9, 3)).double()
    found = read_torch(module, torch.zeros(1, 20, dtype=torch.float64))
    assert found.about.dtype == np.float64
    assert compared(found, 60).wrong == ""


def test_means_and_deviations_of_channels_are_those_of_the_input() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Sign(torch.sign), nn.Flatten(), nn.Linear(64, 2))
    agreement(module, 3, 6, 6, mean=[0.4, 0.5, 0.6], std=[0.2, 0.25, 0.3])


@st.composite
def small_networks(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """Modules of whole numbers, so that sums are exact and often lie on their thresholds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def whole(layer: Any, most: int) -> Any:
        for part in layer.parameters():
            part.data = torch.tensor(rng.integers(-most, most + 1, part.shape), dtype=part.dtype)
        return layer

    def norm(kind: Any, size: int) -> list[nn.Module]:
        layer = whole(kind(size, eps=0.0, affine=draw(st.booleans())), 2)
        layer.running_mean.copy_(torch.tensor(rng.integers(-2, 3, size)))
        return [layer] if draw(st.booleans()) else []

    def sign() -> nn.Module:
        return Sign(SIGNS[draw(st.sampled_from(sorted(SIGNS)))])

    bias = draw(st.booleans())
    if draw(st.booleans()):
        shape: tuple[int, ...] = (draw(st.integers(1, 2)), 5, 5)
        layers: list[nn.Module] = [
            whole(nn.Conv2d(shape[0], 3, 3, padding=draw(st.integers(0, 1)), bias=bias), 2)
        ]
        pool = [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(2, 1)]
        pools = [draw(st.sampled_from(pool))] if draw(st.booleans()) else []
        if draw(st.booleans()):
            layers += [*norm(nn.BatchNorm2d, 3), sign(), *pools]
        else:
            layers += [*pools, *norm(nn.BatchNorm2d, 3), sign()]
        layers.append(nn.Flatten())
        width = nn.Sequential(*layers).eval()(torch.zeros(1, *shape)).shape[1]
    else:
        shape, width = (6,), 5
        layers = [whole(nn.Linear(6, 5, bias=bias), 3), *norm(nn.BatchNorm1d, 5), sign()]
    if draw(st.booleans()):
        layers += [whole(nn.Linear(width, 4, bias=bias), 1), *norm(nn.BatchNorm1d, 4), sign()]
        width = 4
    layers.append(whole(nn.Linear(width, 3), draw(st.sampled_from([1, 4]))))
    return nn.Sequential(*layers).double().eval(), shape


@given(small_networks(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_random_networks_give_what_their_modules_give_on_thresholds_too(
    case: tuple[nn.Module, tuple[int, ...]], seed: int
) -> None:
    module, shape = case
    example = torch.zeros(1, *shape, dtype=torch.float64)
    found = read_torch(module, example, input_range=(0, 255))
    images = np.random.default_rng(seed).integers(0, 3, (40, *shape)).astype(np.uint8)
    images[::3] *= 85
    told = compared(found, images)
    assert (told.rounded, told.wrong) == (0, "")
    with torch.no_grad():
        expected = module(torch.tensor(images, dtype=torch.float64)).numpy()
    assert np.array_equal(found.network.logits(images), expected)


class NoCopy(nn.Module):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("it holds a socket")


def sorting(_: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.sort(torch.sign(x - 0.5))[0]


def deciding(_: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.sign(x - 0.5) if x.max() > 2 else torch.sign(x)


def half_written(_: Any, x: torch.Tensor) -> torch.Tensor:
    x = torch.sign(x - 0.5)
    part = x[:, :2]
    x[:, 2:] = 0
    return part + x[:, :2]


REFUSED = [
    (sorting, "'sort' (aten.sort) does not fit: it is none of the operations"),
    (deciding, "what the code does next depends on the image"),
    (half_written, "it sees a part of a tensor that was changed in place"),
    (lambda _, x: torch.sign(x - 0.5) * x, "product or quotient of two parts of the image"),
    (lambda _, x: torch.sign(x - 0.5).softmax(-1) + 1, "it follows a Softmax, which must be last"),
    (lambda _, x: (x, x), "returns a tuple: it must return the logits alone"),
    (lambda _, x: torch.ones(1, 3), "its output does not depend on the image"),
    (lambda _, x: x @ torch.ones(4, 3), "its output has no sign between it and the image"),
    (lambda _, x: x.reshape(3, 5), "does not run on images of shape (1, 4): shape '[3, 5]'"),
    (
        lambda _, x: torch.sign(x - 0.5)[:, (x[0] > 0.5).long()],
        "where it looks depends on the image",
    ),
    (lambda _, x: x.bfloat16().sign().float(), "it computes in torch.bfloat16"),
    (lambda _, x: torch.where(x > 0.5, x, -x), "it chooses between real numbers"),
    (lambda _, x: (x > 0.5) & (x > 0.7), "it joins comparisons of different numbers"),
    (lambda _, x: torch.div(x.sign(), 2, rounding_mode="floor"), "it rounds a quotient"),
    (lambda _, x: functional.relu(x) @ torch.ones(4, 2) - 1, "it sees what clip gives"),
    (
        lambda _, x: functional.batch_norm(x.view(1, 1, 2, 2), None, None, training=True),
        "normalizes by the batch's own mean",
    ),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_what_is_no_binarized_network_is_refused_by_name(function: Any, message: str) -> None:
    assert message in refusal(Function(function), 4)


def test_real_weights_before_a_sign_are_refused_with_the_layer_that_has_them() -> None:
    module = nn.Sequential(
        nn.Linear(5, 4), Sign(torch.sign), nn.Linear(4, 3), Sign(torch.sign), nn.Linear(3, 2)
    )
    assert "real weights" in refusal(module, 5)


def test_the_message_names_the_layer_within_the_module() -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.Sequential(nn.Identity(), nn.GELU()))
    assert refusal(module, 5).startswith("'1.1.gelu' (aten.gelu) does not fit")


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    assert refusal(NoCopy(), 4) == "the module cannot be copied: it holds a socket"


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (torch.sign, torch.zeros(1, 3), "a torch.nn.Module is needed, not a "),
        (nn.Identity(), torch.zeros(3), "example must have the shape (batch, *shape), not (3,)"),
        (nn.Identity(), torch.zeros(0, 3), "example must have the shape (batch, *shape)"),
        (
            nn.Identity(),
            torch.zeros(1, 3, dtype=torch.int64),
            "float32 or float64, not torch.int64",
        ),
        (nn.Identity(), "images", "example must be a tensor of images"),
    ],
)
def test_wrong_arguments_are_told(module: Any, example: Any, message: str) -> None:
    with pytest.raises(InputError) as raised:
        bnnopt.from_torch(module, example)
    assert message in str(raised.value)


def test_a_module_that_is_not_what_it_was_read_as_disagrees() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return self.last(torch.sign(x - (0.5 if self.calls == 1 else 0.25)))

    module = Function(forward, last=nn.Linear(6, 2))
    with pytest.raises(ImportDisagreesError, match=r"is -?1 in the file for image"):
        bnnopt.from_torch(module, torch.zeros(1, 6))


def test_signs_counted_in_whole_numbers_are_sums_of_signs() -> None:
    def counted(self: Any, x: torch.Tensor) -> torch.Tensor:
        ones = (self.first(x) > 0).reshape(-1, 4, 5).sum(2) * 2 - 5
        return self.last((ones + 0.5).sign())

    parts = {"first": nn.Linear(30, 20, bias=False), "last": nn.Linear(4, 3)}
    parts["first"].weight.data = parts["first"].weight.data.sign()
    found = agreement(Function(counted, **parts), 30)
    assert found.neurons == 24


@pytest.mark.parametrize("softmax", [nn.Identity(), nn.LogSoftmax(1)])
def test_a_head_that_is_off_is_wrong_also_before_a_softmax(softmax: nn.Module) -> None:
    module = nn.Sequential(nn.Linear(6, 5), Sign(torch.sign), nn.Linear(5, 3), softmax)
    module[2].weight.data *= 50  # whose probabilities are 0 and 1
    found = read_torch(module, torch.zeros(1, 6))
    assert compared(found, 30).wrong == ""
    network = found.network
    head = OutputLayer(network.output.weight, network.output.scale, network.output.bias + 0.01)
    found.network = BinarizedNetwork(network.hidden, head, levels=255, input_shape=(6,))
    assert "the output differs" in compared(found, 30).wrong


def test_reading_a_module_imports_nothing_of_other_formats() -> None:
    code = (
        "import sys, torch\nfrom bnnopt import from_torch\nm = torch.nn.Linear\n"
        "class S(torch.nn.Module):\n"
        "    def forward(self, x): return x.sign()\n"
        "from_torch(torch.nn.Sequential(m(4, 3), S(), m(3, 2)), torch.zeros(1, 4))\n"
        "print([n for n in ('onnx', 'onnxruntime', 'h5py') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
