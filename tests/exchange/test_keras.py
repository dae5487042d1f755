"""Files of Keras and Larq are read as what their layers say, and hostile ones are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.comparison.agreement import compared
from bnnopt.exchange.keras import read_keras
from bnnopt.exchange.keras_files import hdf5
from bnnopt.network import BinarizedNetwork, OutputLayer
from tests.exchange.keras_files import Model, by_torch, convolution, dense, larq_network, norm


def softmax(logits: Any) -> Any:
    power = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return power / power.sum(axis=-1, keepdims=True)


FORMS = {
    "hdf5": lambda model: model.hdf5(),
    "hdf5 of a graph": lambda model: model.hdf5(model.functional()),
    "keras 3": lambda model: model.archive(),
    "keras 3 of a graph": lambda model: model.archive(model.functional(3)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_network_of_larq_gives_what_torch_makes_of_its_layers(form: str) -> None:
    model = larq_network()
    found = read_keras(FORMS[form](model), input_range=(-1, 1))
    shapes = [layer.output_shape for layer in found.network.hidden]
    assert shapes == [(8, 10, 10), (6, 10, 10), (6, 5, 5), (12, 3, 3)]
    assert all(layer.convolution is not None for layer in found.network.hidden)
    assert found.softmax and found.network.input_shape == (12, 12, 3)
    told = compared(found, 60)
    assert told.neurons == 8 * 100 + 6 * 25 + 12 * 9 and told.wrong == ""
    images = np.random.default_rng(1).integers(0, 256, (40, 12, 12, 3)).astype(np.uint8)
    expected = by_torch(model, found.file_values(images))
    assert np.allclose(softmax(found.network.logits(images)), expected, atol=1e-5)


@st.composite
def chains(draw: st.DrawFn) -> Model:
    """Random chains of the layers that Larq's networks are made of."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sides, channels = [draw(st.integers(5, 9)), draw(st.integers(5, 9))], draw(st.integers(1, 3))
    model = Model(*sides, channels)
    if draw(st.booleans()):
        model.add("Rescaling", scale=2.0, offset=-1.0)
    if draw(st.booleans()):
        model.add("ZeroPadding2D", padding=[[1, 0], [0, 2]])
    quantizer = None
    for _ in range(draw(st.integers(1, 2))):
        filters = draw(st.integers(1, 4))
        convolution(
            model,
            rng,
            channels,
            filters,
            strides=draw(st.sampled_from([[1, 1], [2, 2], [1, 2]])),
            padding="same",
            pad_values=draw(st.sampled_from([0.0, 1.0, -1.0])),
            input_quantizer=quantizer,
        )
        kind = draw(st.sampled_from(["MaxPooling2D", "AveragePooling2D", ""]))
        if kind:
            padding, stride = draw(st.sampled_from(["same", "valid"])), draw(st.integers(1, 2))
            at_least = min(sides) > 8 or padding == "same"
            padding = padding if at_least else "same"
            model.add(kind, pool_size=[2, 3], strides=[stride, stride], padding=padding)
        if draw(st.booleans()):
            norm(model, rng, filters)
        channels, quantizer = filters, "ste_sign"
    if draw(st.booleans()):
        model.add("Activation", activation="ste_sign")
        model.add("GlobalAveragePooling2D")
        size = channels
    else:
        model.add("Activation", activation="ste_sign")
        model.add("Flatten")
        size = int(by_torch(model, np.zeros((1, *model.shape))).size)
    if draw(st.booleans()):
        dense(model, rng, size, 4, use_bias=True, bias=rng.normal(size=4))
    else:
        model.add("Dense", kernel=rng.normal(size=(size, 4)), units=4, bias=rng.normal(size=4))
    return model


@given(chains(), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_random_chains_agree_with_their_files_and_with_torch(model: Model, seed: int) -> None:
    found = read_keras(model.hdf5(), input_range=(0, 255))
    told = compared(found, 30, seed)
    assert told.wrong == ""
    images = np.random.default_rng(seed).integers(0, 256, (20, *model.shape)).astype(np.uint8)
    expected = by_torch(model, found.file_values(images))
    assert np.allclose(found.network.logits(images), expected, atol=1e-4)


KERNEL = np.array([[0.5, -0.02], [0.0, 0.04], [-0.3, 0.9]])
QUANTIZED = [
    (None, KERNEL),
    ("ste_sign", [[1, -1], [1, 1], [-1, 1]]),
    ({"class_name": "Larq>ApproxSign", "config": {}}, [[1, -1], [1, 1], [-1, 1]]),
    ("ste_heaviside", [[1, 0], [0, 1], [0, 1]]),
    ({"class_name": "SteTern", "config": {"threshold_value": 0.05}}, [[1, 0], [0, 0], [-1, 1]]),
    (
        {"class_name": "SteTern", "config": {"ternary_weight_networks": True}},
        [[1, 0], [0, 0], [-1, 1]],
    ),
    ("magnitude_aware_sign", np.array([[1, -1], [1, 1], [-1, 1]]) * [0.8 / 3, 0.32]),
]


@pytest.mark.parametrize(("quantizer", "expected"), QUANTIZED)
def test_latent_weights_are_what_their_quantizer_makes_of_them(
    quantizer: Any, expected: Any
) -> None:
    model = Model(3)
    model.add("Activation", activation="ste_sign")
    model.add("QuantDense", kernel=KERNEL, units=2, use_bias=False, kernel_quantizer=quantizer)
    network = read_keras(model.hdf5(), input_range=(-1, 1)).network
    signs = np.array([[0, 0, 255], [255, 0, 0], [0, 255, 255]], dtype=np.uint8)
    assert np.allclose(
        network.logits(signs), np.where(signs > 0, 1, -1) @ np.asarray(expected), atol=1e-6
    )


@pytest.mark.parametrize(("name", "at_zero"), [("ste_sign", 1), ("ste_heaviside", 0)])
def test_zero_is_above_for_signs_and_not_for_bits(name: str, at_zero: int) -> None:
    model = Model(2)
    kernel = np.array([[1.0, -1.0], [-1.0, 1.0]])
    model.add("Dense", kernel=kernel, units=2, use_bias=False)
    model.add("Dense", kernel=np.eye(2), units=2, use_bias=False)
    model.layers[1]["class_name"] = "QuantDense"
    model.layers[1]["config"]["input_quantizer"] = name
    network = read_keras(model.hdf5(), input_range=(0, 255)).network
    assert network.logits(np.array([7, 7], dtype=np.uint8)).tolist() == [at_zero, at_zero]


def test_shortcuts_of_signs_are_added_and_joined() -> None:
    rng = np.random.default_rng(3)
    model = Model(6, 6, 1)
    convolution(model, rng, 1, 4, padding="same")
    first = model.add("Activation", activation="ste_sign")
    convolution(model, rng, 4, 4, padding="same")
    second = model.add("Activation", activation="ste_sign")
    added = model.add("Add", sees=[first, second])
    joined = model.add("Concatenate", sees=[added, first], axis=-1)
    model.add("GlobalAveragePooling2D", sees=[joined])
    model.add("Dense", kernel=rng.normal(size=(8, 3)), bias=rng.normal(size=3), units=3)
    for form in (model.hdf5(model.functional()), model.archive(model.functional(3))):
        found = read_keras(form)
        assert compared(found, 50).wrong == ""
        assert len(found.network.hidden) == 2


def test_a_file_is_read_by_its_path_and_named_after_it(tmp_path: Path) -> None:
    path = tmp_path / "binary net.keras"
    path.write_bytes(larq_network().archive())
    network = bnnopt.from_keras(path, input_range=(-1, 1), check=20)
    assert network.name == "binary net"


def plain(**config: Any) -> Model:
    """A network of one hidden layer, whose first layer has settings of its own."""
    rng = np.random.default_rng(0)
    model = Model(4, 4, 1)
    convolution(model, rng, 1, 2, **config)
    model.add("Activation", activation="ste_sign")
    model.add("GlobalAveragePooling2D")
    model.add("Dense", kernel=rng.normal(size=(2, 2)), bias=np.zeros(2), units=2)
    return model


def with_layer(kind: str, **config: Any) -> Model:
    model = plain()
    model.add(kind, **config)
    model.layers.insert(1, model.layers.pop())
    return model


REFUSED = [
    (plain(padding="causal"), "layer 'quantconv2d_0' (QuantConv2D) does not fit: its padding is"),
    (plain(data_format="channels_first"), "its channels come first"),
    (plain(kernel_size=[3, 2]), "its kernel has the shape (3, 3, 1, 2), not (3, 2, 1, 2)"),
    (plain(filters=3), "its kernel has the shape (3, 3, 1, 2), not (3, 3, 1, 3)"),
    (plain(groups=3), "its kernel has the shape"),
    (plain(use_bias=True), "the file has no bias for it"),
    (plain(kernel_quantizer="dorefa_quantizer"), "kernel quantizer 'dorefa_quantizer' is not"),
    (plain(input_quantizer="dorefa_quantizer"), "input quantizer 'dorefa_quantizer' is no sign"),
    (plain(input_quantizer={"config": {}}), "cannot be read"),
    (plain(activation="gelu"), "its activation 'gelu' is none of"),
    (plain(strides=[0, 1]), "[0, 1] must be whole numbers above 0"),
    (plain(strides="many"), "'many' must be whole numbers above 0"),
    (plain(dilation_rate=[3, 3]), "is larger than its input"),
    (with_layer("Lambda", function=["4wEA", None, None]), "(Lambda) does not fit: it is none of"),
    (with_layer("LSTM", units=3), "(LSTM) does not fit: it is none of"),
    (with_layer("Sequential", layers=[]), "(Sequential) does not fit: it is none of"),
    (with_layer("BatchNormalization", axis=[1]), "it normalizes axis 1: only the last one fits"),
    (with_layer("BatchNormalization"), "the file has no gamma for it"),
    (with_layer("ReLU", threshold=1.0), "it has a slope or a threshold"),
    (with_layer("Reshape", target_shape=[7]), "cannot be read: cannot reshape"),
    (with_layer("ZeroPadding2D", padding=[[2**20] * 2] * 2), "padding makes"),
    (with_layer("MaxPooling2D", pool_size=[2**20, 2**20], padding="same"), "a window makes"),
    (with_layer("AveragePooling2D", pool_size=[2**20, 2**20], padding="same"), "a window makes"),
    (with_layer("Activation", activation="softmax"), "it is over a part of the numbers"),
]


@pytest.mark.parametrize(("model", "message"), REFUSED)
def test_what_is_no_binarized_network_is_refused_by_name(model: Model, message: str) -> None:
    with pytest.raises(NetworkFormatError) as raised:
        read_keras(model.hdf5())
    assert message in str(raised.value) and "\n" not in str(raised.value)


def edited(change: Any, model: Model | None = None) -> bytes:
    """A good file with something changed."""
    stream = io.BytesIO((model or plain()).hdf5())
    with h5py.File(stream, "r+") as file:
        change(file)
    return stream.getvalue()


def configured(change: Any) -> bytes:
    model = plain()
    config = model.sequential()
    return model.hdf5(change(config) or config)


def replaced(file: Any, **dataset: Any) -> None:
    own = file["model_weights/quantconv2d_0"]
    del own["quantconv2d_0/kernel:0"]
    own.create_dataset("quantconv2d_0/kernel:0", **dataset)


def linked(file: Any, link: Any) -> None:
    own = file["model_weights/quantconv2d_0"]
    del own["quantconv2d_0/kernel:0"]
    own["quantconv2d_0/kernel:0"] = link


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(3, 3, 1, 2), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "kernel", shape=(3, 3, 1, 2))
    own = file["model_weights/quantconv2d_0"]
    del own["quantconv2d_0/kernel:0"]
    own.create_virtual_dataset("quantconv2d_0/kernel:0", layout)


def archived(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def nested(config: Any) -> Any:
    config["config"]["layers"] = [config["config"]["layers"][0]] * 6000
    return config


HOSTILE = [
    (b"", "is no model of Keras, or damaged"),
    (b"PK\x03\x04 and no more", "is no model of Keras: File is not a zip file"),
    (plain().hdf5()[:3000], "is no model of Keras, or damaged"),
    (archived(**{"config.json": b"{}"}), 'is no model of Keras: "There is no item named'),
    (edited(lambda file: file.attrs.__delitem__("model_config")), "it has no model_config"),
    (edited(lambda file: file.attrs.__setitem__("model_config", b"[" * 100_000)), "no model of"),
    (edited(lambda file: file.attrs.__setitem__("model_config", b"\xff\xfe")), "no model of"),
    (edited(lambda file: file.__delitem__("model_weights")), "the file has no kernel for it"),
    (
        edited(lambda file: linked(file, h5py.ExternalLink("/etc/other.h5", "kernel"))),
        "kernel:0' is a link to elsewhere",
    ),
    (edited(lambda file: linked(file, h5py.SoftLink("/model_weights"))), "is a link to elsewhere"),
    (
        edited(
            lambda file: replaced(
                file, shape=(3, 3, 1, 2), dtype="f4", external=[("/etc/hostname", 0, 72)]
            )
        ),
        "lie in another file",
    ),
    (edited(virtual), "lie in another file"),
    (
        edited(lambda file: replaced(file, shape=(2**14, 2**14), dtype="f4", chunks=(64, 64))),
        "its weights have more than",
    ),
    (
        edited(lambda file: replaced(file, data=np.full((3, 3, 1, 2), np.nan, dtype="f4"))),
        "holds numbers that are not finite",
    ),
    (edited(lambda file: replaced(file, data=[b"text"])), "holds object, no numbers"),
    (configured(lambda c: c | {"class_name": "Net"}), "its class is 'Net'"),
    (configured(lambda c: c["config"].update(layers=[])), "it has no layers"),
    (configured(nested), "it has 6000 layers: at most 5000 fit"),
    (
        configured(lambda c: c["config"]["layers"].append(c["config"]["layers"][1])),
        "several of its layers have one name",
    ),
    (
        configured(
            lambda c: c["config"]["layers"][0]["config"].update(
                batch_input_shape=[None, None, 4, 1]
            )
        ),
        "every side but the batch's must be a number",
    ),
    (
        configured(lambda c: c["config"]["layers"][0]["config"].pop("batch_input_shape") and None),
        "it does not say the shape of its input",
    ),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE)
def test_broken_and_hostile_files_are_refused_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(NetworkFormatError) as raised:
        read_keras(content)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_keeps_the_library_busy_for_ever_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = bytearray(plain().hdf5())
    at = content.index(b"GCOL") + 16  # the heap of strings, whose last part is free
    while content[at : at + 2] != b"\0\0":
        size = int.from_bytes(content[at + 8 : at + 16], "little")
        at += 16 + -(-size // 8) * 8
    content[at + 8 : at + 16] = bytes(8)  # nothing is free, not even that
    monkeypatch.setattr(hdf5, "SECONDS", 3.0)
    with pytest.raises(NetworkFormatError, match="cannot be read within 3 seconds"):
        read_keras(bytes(content))


def test_a_layer_that_is_used_twice_is_refused() -> None:
    model = plain()
    config = model.functional()
    nodes = config["config"]["layers"][1]["inbound_nodes"]
    nodes.append(nodes[0])
    with pytest.raises(NetworkFormatError, match="is used 2 times: once fits"):
        read_keras(model.hdf5(config))


def test_a_graph_with_two_outputs_or_a_circle_is_refused() -> None:
    model = plain()
    config = model.functional()
    config["config"]["output_layers"].append(["input", 0, 0])
    with pytest.raises(NetworkFormatError, match="it has 2 outputs: one fits"):
        read_keras(model.hdf5(config))
    config = model.functional()
    config["config"]["layers"][1]["inbound_nodes"] = [[["dense_3", 0, 0, {}]]]
    with pytest.raises(NetworkFormatError, match="sees layers that are not there"):
        read_keras(model.hdf5(config))


def test_old_files_list_their_layers_without_a_name() -> None:
    model = plain()
    layers = model.sequential()["config"]["layers"]
    old = read_keras(model.hdf5({"class_name": "Sequential", "config": layers}))
    new = read_keras(model.hdf5())
    images = np.arange(160, dtype=np.uint8).reshape(10, 4, 4, 1)
    assert np.array_equal(old.network.logits(images), new.network.logits(images))


@pytest.mark.parametrize("form", ["none", "layer", "activation"])
def test_a_head_that_is_off_is_wrong_also_before_a_softmax(form: str) -> None:
    rng = np.random.default_rng(0)
    model = Model(4, 4, 1)
    model.add("Flatten")
    dense(model, rng, 16, 7)
    last = {"activation": "softmax"} if form == "activation" else {}
    kernel = 50 * rng.normal(size=(7, 3))  # whose probabilities are 0 and 1
    model.add("Activation", activation="ste_sign")
    model.add("Dense", kernel=kernel, units=3, use_bias=False, **last)
    if form == "layer":
        model.add("Softmax")
    found = read_keras(model.hdf5())
    assert found.softmax == (form != "none")
    assert compared(found, 30).wrong == ""
    network = found.network
    head = OutputLayer(network.output.weight, network.output.scale, network.output.bias + 0.01)
    found.network = BinarizedNetwork(network.hidden, head, levels=255, input_shape=(4, 4, 1))
    assert "the output differs" in compared(found, 30).wrong
