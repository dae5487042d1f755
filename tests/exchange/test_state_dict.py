"""State dicts become the networks that their layers, said in words, make of them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bnnopt
from bnnopt.errors import BnnoptError, InputError, NetworkFormatError, UnknownNameError
from bnnopt.exchange.comparison.agreement import compared
from bnnopt.exchange.state_dict import read_state_dict
from tests.exchange.modules import with_random_norms

PEERS = os.environ.get("BNNOPT_PEERS", "")
NPAQ = ["mnist-100-bnn_1blk_50.pt", "mnist-100-bnn_1blk_50_sparse=0.05.pt"]
BINARYNET = ["linear", "norm", "hardtanh", "sign", "linear", "norm", "sign", "linear"]


def binarynet() -> nn.Module:
    torch.manual_seed(0)
    parts: dict[str, nn.Module] = {
        "fc1": nn.Linear(16, 9),
        "bn1": nn.BatchNorm1d(9),
        "fc2": nn.Linear(9, 7),
        "bn2": nn.BatchNorm1d(7),
        "fc3": nn.Linear(7, 3),
    }
    return with_random_norms(nn.ModuleDict(parts))


def forward(module: Any, x: Any) -> Any:
    """What the words above say."""
    module.eval()
    with torch.no_grad():
        for number in (1, 2):
            layer, norm = module[f"fc{number}"], module[f"bn{number}"]
            x = torch.sign(norm(nn.functional.linear(x, layer.weight.sign(), layer.bias)))
        return nn.functional.linear(x, module["fc3"].weight.sign(), module["fc3"].bias)


def test_words_and_tensors_make_the_network_that_torch_would() -> None:
    module = binarynet()
    network = bnnopt.from_state_dict(module.state_dict(), BINARYNET)
    assert [layer.shape for layer in network.hidden] == [(9, 16), (7, 9)]
    images = np.random.default_rng(0).integers(0, 256, (50, 16)).astype(np.uint8)
    expected = forward(module, torch.tensor(images / 255, dtype=torch.float32)).numpy()
    assert np.allclose(network.logits(images), expected, atol=1e-4)


def test_a_file_a_checkpoint_and_arrays_are_read_alike(tmp_path: Path) -> None:
    state = binarynet().state_dict()
    forms: list[Any] = [{name: value.numpy() for name, value in state.items()}]
    saved = {"plain": state, "checkpoint": {"epoch": 3, "state_dict": state}}
    saved["parallel"] = {f"module.{name}": value for name, value in state.items()}
    for name, content in saved.items():
        torch.save(content, tmp_path / f"{name}.pth")
        forms.append(tmp_path / f"{name}.pth")
    images = np.random.default_rng(0).integers(0, 256, (20, 16)).astype(np.uint8)
    found = [bnnopt.from_state_dict(form, BINARYNET, check=10) for form in forms]
    logits = [network.logits(images) for network in found]
    assert all(np.array_equal(logits[0], other) for other in logits[1:])
    assert [network.name for network in found] == ["", *saved]


def test_layers_that_are_named_may_be_in_any_order() -> None:
    state = dict(reversed(binarynet().state_dict().items()))
    layers = ["linear fc1", "norm bn1", "sign", "linear fc2", "norm bn2", "sign", "linear fc3"]
    found = read_state_dict(state, layers)
    assert compared(found, 50).wrong == ""
    with pytest.raises(NetworkFormatError, match="does not run on images"):
        read_state_dict(state, BINARYNET)


def test_convolutions_and_pooling_have_their_options() -> None:
    torch.manual_seed(1)
    parts = {
        "c1": nn.Conv2d(2, 4, 3),
        "n1": nn.BatchNorm2d(4, eps=1e-3),
        "c2": nn.Conv2d(4, 6, 3, groups=2, bias=False),
        "n2": nn.BatchNorm2d(6, affine=False),
        "head": nn.Linear(6, 3),
    }
    module: Any = with_random_norms(nn.ModuleDict(parts)).eval()
    layers = [
        "conv stride=2 padding=1 weights=real",
        "max_pool 2 stride=1",
        "norm eps=1e-3",
        "sign",
        "conv groups=2 dilation=1 padding=1",
        "norm",
        "sign",
        "mean_pool 3",
        "global_mean",
        "linear weights=real",
    ]
    network = bnnopt.from_state_dict(module.state_dict(), layers, input_shape=(2, 12, 12))
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 12, 12)).astype(np.uint8)
    functional = nn.functional
    with torch.no_grad():
        x = torch.tensor(images / 255, dtype=torch.float32)
        x = functional.conv2d(x, module["c1"].weight, module["c1"].bias, stride=2, padding=1)
        x = module["n1"](functional.max_pool2d(x, 2, 1)).sign()
        x = functional.conv2d(x, module["c2"].weight.sign(), padding=1, groups=2)
        x = functional.avg_pool2d(module["n2"](x).sign(), 3).mean((2, 3))
        expected = functional.linear(x, module["head"].weight, module["head"].bias).numpy()
    assert np.allclose(network.logits(images), expected, atol=1e-4)


@pytest.mark.parametrize("zero", [-1, 0, 1])
def test_the_sign_of_zero_is_what_is_said_for_weights_and_activations(zero: int) -> None:
    weight = {"a.weight": np.array([[1.0, -1.0], [0.0, 0.0]]), "b.weight": np.eye(2)}
    network = bnnopt.from_state_dict(
        weight, ["linear", "sign", "linear"], sign_of_zero=zero, input_range=(0, 255)
    )
    # The sums are 7 - 7, and 14 times the weights that 0 stands for.
    signs = np.array([zero, np.sign(14 * zero)])
    expected = np.where(np.eye(2) > 0, 1, zero) @ signs
    assert network.logits(np.array([7, 7], dtype=np.uint8)).tolist() == expected.tolist()


@pytest.mark.parametrize("name", NPAQ)
def test_networks_of_npaq_are_read(name: str) -> None:
    if not PEERS:
        pytest.skip(
            "BNNOPT_PEERS is not set: it has the files of github.com/teobaluta/NPAQ in npaq/"
        )
    path = Path(PEERS) / "npaq" / name
    words = ["sign", "linear fc1", "norm bn1", "hardtanh", "sign", "linear fc5"]
    found = read_state_dict(path, words, mean=0.1307, std=0.3081)
    assert [layer.shape for layer in found.network.hidden] == [(100, 100), (50, 100)]
    told = compared(found, 300)
    assert (told.neurons, told.rounded, told.wrong) == (150, 0, "")
    binary = read_state_dict(path, words[1:], levels=1, input_range=(-1, 1))
    assert compared(binary, 300).wrong == ""
    bits = np.random.default_rng(0).integers(0, 2, (50, 100))
    images = np.where(bits, 255, 0).astype(np.uint8)
    assert np.array_equal(binary.network.predict(bits), found.network.predict(images))


WRONG: list[tuple[Any, dict[str, Any], type[BnnoptError], str]] = [
    (["dense"], {}, UnknownNameError, "unknown layer 'dense'"),
    ([""], {}, UnknownNameError, "unknown layer ''"),
    (["linear stride=2"], {}, UnknownNameError, "unknown option of linear 'stride'"),
    (["sign x=1"], {}, UnknownNameError, "unknown option of sign 'x'"),
    (["linear fc1 fc2"], {}, InputError, "'linear fc1 fc2' has too many words"),
    (["linear fc9"], {}, UnknownNameError, "unknown layer of the state dict 'fc9'"),
    (["linear bn1"], {}, NetworkFormatError, "'bn1' is a norm layer, not linear"),
    (["conv"], {}, NetworkFormatError, "'conv': the state dict has no conv layer that is left"),
    (["linear weights=ternary"], {}, InputError, "weights=ternary must be sign or real"),
    (["norm eps=small"], {}, InputError, "eps must be a number, not 'small'"),
    (["max_pool"], {}, InputError, "max_pool needs the size of its windows"),
    (["max_pool two"], {}, InputError, "a window's size must be a number, not 'two'"),
    (BINARYNET[:-1], {}, NetworkFormatError, "no layer uses 'fc3': name it in layers"),
    ("linear", {}, InputError, "layers is a list of words"),
    (BINARYNET, {"sign_of_zero": 2}, InputError, "sign_of_zero"),
    (BINARYNET, {"input_shape": (4, 0)}, InputError, "a side of input_shape"),
    (BINARYNET, {"input_shape": (15,)}, NetworkFormatError, "does not run on images of shape"),
]


@pytest.mark.parametrize(("layers", "given", "kind", "message"), WRONG)
def test_words_that_say_nothing_are_told(
    layers: Any, given: dict[str, Any], kind: type[BnnoptError], message: str
) -> None:
    with pytest.raises(kind) as raised:
        read_state_dict(binarynet().state_dict(), layers, **given)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_convolution_needs_the_shape_of_an_image() -> None:
    with pytest.raises(InputError, match=r"give input_shape=\(3, 32, 32\), say"):
        read_state_dict({"c.weight": np.ones((1, 1, 3, 3))}, ["conv"])


class Explosion:
    def __reduce__(self) -> Any:
        return os.system, ("echo exploded",)


def written(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "net.pt")
    return folder / "net.pt"


CONTENT: list[tuple[Any, str]] = [
    ({}, "there is no state dict"),
    (torch.zeros(3), "there is no state dict"),
    ({"fc.weight": "text"}, "'fc.weight' is no tensor but a str"),
    ({"fc.weight": torch.full((2, 2), torch.inf)}, "'fc.weight' holds numbers that are not finite"),
    ({"fc.weight": torch.zeros(1).expand(2**14, 2**14)}, "its tensors have more than"),
    ({"fc.weight": torch.zeros(2, 2, dtype=torch.complex64)}, "no tensor of plain real numbers"),
    ({"fc.weight": torch.eye(2).to_sparse()}, "no tensor of plain real numbers"),
    ({"rnn.weight_hh": torch.eye(2)}, "'rnn' with weight_hh is no linear layer, convolution"),
    ({"c.weight": torch.zeros(1, 1, 3)}, "'c' with weight is no linear layer, convolution"),
]


@pytest.mark.parametrize(("content", "message"), CONTENT)
def test_files_of_something_else_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkFormatError) as raised:
        read_state_dict(written(tmp_path, content), ["linear"])
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_pickles_and_broken_files_are_refused_and_never_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = written(tmp_path, {"fc": Explosion()})
    with pytest.raises(NetworkFormatError, match=r"save model.state_dict\(\), not the model"):
        read_state_dict(whole, ["linear"])
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Explosion(), protocol=2))
    short = tmp_path / "short.pt"
    short.write_bytes(written(tmp_path, {"a.weight": torch.eye(2)}).read_bytes()[:100])
    for path in (plain, short):
        with pytest.raises(NetworkFormatError, match="is no file of tensors") as raised:
            read_state_dict(path, ["linear"])
        assert "\n" not in str(raised.value)
    with pytest.raises(NetworkFormatError, match="cannot be read: "):
        read_state_dict(tmp_path / "missing.pt", ["linear"])
    assert "exploded" not in capfd.readouterr().out
