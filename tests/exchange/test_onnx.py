"""ONNX files as a whole: sets of operators, types, batches, ranges, constants, functions."""

from __future__ import annotations

import gzip
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import bnnopt
from bnnopt.errors import ImportDisagreesError, InputError, NetworkFormatError
from bnnopt.exchange.comparison.agreement import compared
from bnnopt.exchange.onnx import read_onnx
from bnnopt.exchange.read import read
from tests.exchange.graphs import Graph, random_graph
from tests.exchange.small import (
    agrees,
    conv,
    dense,
    head,
    image,
    max_pool,
    norm,
    refused,
    rng,
    sign_image,
    signs,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_are_those_of_their_files(seed):
    draw = np.random.default_rng(seed)
    content = random_graph(draw).bytes()
    try:
        imported = read_onnx(content)
    except NetworkFormatError as error:
        if "maximum of minima" not in str(error):
            raise
        assume(False)
    drawn = compared(imported, 24)
    real = compared(imported, draw.random((8, *imported.network.input_shape)))
    assert (drawn.wrong, real.wrong) == ("", "")
    assert drawn.rounded <= 0.05 * 24 * drawn.neurons + 8
    assert real.rounded <= 0.02 * 8 * real.neurons + 2


def network(opset: int = 17, **about: Any) -> Graph:
    graph = norm(conv(Graph((1, 5, 5), opset, **about)), [1.0, -0.4], mean=[150.0, -150.0])
    graph.add("Sign")
    max_pool(graph)
    return head(graph)


@pytest.mark.parametrize("opset", range(9, 23))
def test_every_set_of_operators(opset):
    graph = network(opset)
    graph.add("Softmax", axis=1)
    agrees(graph)


@pytest.mark.parametrize("opset", [0, 1, 6, 10**9])
def test_a_set_of_operators_that_is_not_known_is_refused(opset):
    model = network().model()
    model.opset_import[0].version = opset
    refused(model.SerializeToString(), "operator sets.*fits")


@pytest.mark.parametrize("opset", [7, 8])
def test_sets_of_operators_older_than_sign(opset):
    graph = conv(image(opset=opset))
    graph.add("Greater", graph.constant(3.5))
    graph.add("Cast", to=TensorProto.FLOAT)
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("real", [np.float16, np.float32, np.float64])
def test_files_of_any_precision(real):
    graph = Graph((8,), real=real)
    graph.add("Mul", graph.constant(1 / 128))
    dense(graph)
    graph.add("Sub", graph.constant(0.3))
    graph.add("Sign")
    dense(graph)
    graph.add("Sign")
    found = agrees(head(graph))
    assert found.precision == real


@pytest.mark.parametrize("given", [np.uint8, np.int64, np.float32])
def test_images_that_are_cast_first(given):
    graph = image()
    graph.add("Cast", to=TensorProto.FLOAT)
    conv(graph)
    graph.add("Sign")
    agrees(head(graph), given=given, exact=True)


def test_half_precision_before_a_sign_is_said():
    graph = image()
    graph.add("Cast", to=TensorProto.FLOAT16)
    graph.add("Conv", graph.constant(signs(2, 1, 2, 2), np.float16), shape=(2, 4, 4))
    graph.add("Sign")
    graph.add("Cast", to=TensorProto.FLOAT)
    (note,) = agrees(head(graph)).notes
    assert "float16" in note


def test_whole_numbers_need_a_range_of_them():
    graph = image()
    graph.add("Greater", graph.constant(100, np.uint8))
    graph.add("Cast", to=TensorProto.FLOAT)
    content = head(conv_sign(graph)).bytes(np.uint8)
    for reading in ({}, {"input_range": (0, 255), "mean": 1.0}, {"input_range": (-1, 254)}):
        with pytest.raises(InputError, match="range"):
            read_onnx(content, **reading)
    agrees(content, exact=True)


def conv_sign(graph: Graph) -> Graph:
    conv(graph)
    graph.add("Sign")
    return graph


def test_arithmetic_on_bytes_is_refused():
    graph = image()
    graph.add("Add", graph.constant(200, np.uint8))
    graph.add("Cast", to=TensorProto.FLOAT)
    refused(head(conv_sign(graph)), "uint8", given=np.uint8)


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_batches_of_any_size(batch):
    agrees(network(batch=batch))


def test_an_image_without_a_batch():
    graph = dense(Graph((6,), batch=None))
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_a_file_that_takes_one_image_only_though_it_does_not_say_so():
    graph = image()
    graph.add("Reshape", graph.constant([1, 25], np.int64), shape=(25,))
    dense(graph)
    graph.add("Sign")
    agrees(head(graph), exact=True)


@pytest.mark.parametrize(
    "reading",
    [
        {"input_range": (0, 1)},
        {"input_range": (-1, 1)},
        {"input_range": ("1/3", 2)},
        {"input_range": (0, 1), "mean": 0.4, "std": 0.25},
        {"input_range": (0, 1), "mean": [0.4, 0.5, 0.1], "std": 0.25},
        {"input_range": (0, 1), "mean": [0.4, 0.5, 0.1], "std": [0.2, 0.25, 0.3]},
        {"input_range": (0, 255), "mean": rng().normal(size=(3, 4, 4)), "std": 2.0},
        {"input_range": (0, 15), "levels": 15},
        {"input_range": (0, 1), "levels": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("last", [False, True])
def test_ranges_means_and_deviations(reading, last):
    graph = image((4, 4, 3) if last else (3, 4, 4))
    if last:
        graph.add("Transpose", perm=[0, 3, 1, 2], shape=(3, 4, 4))
        if np.ndim(reading.get("mean", 0)) == 3:
            reading = reading | {"mean": np.moveaxis(reading["mean"], 0, 2)}
    graph.add("Conv", graph.constant(signs(4, 3, 2, 2)), pads=[1, 1, 0, 0], shape=(4, 4, 4))
    graph.add("Add", graph.constant(0.3))
    graph.add("Sign")
    agrees(head(graph), **reading)


@pytest.mark.parametrize(
    "reading", [{"input_range": (1, 0)}, {"input_range": 3}, {"std": 0}, {"mean": [1, 2]}], ids=str
)
def test_readings_that_make_no_sense_are_input_errors(reading):
    with pytest.raises(InputError):
        read_onnx(network().bytes(), **reading)


def test_weights_that_are_computed():
    graph = sign_image((6,))
    latent = graph.constant(rng().normal(size=(5, 6)))
    graph.node("Sign", latent)
    graph.node("Transpose", graph.last, perm=[1, 0])
    weight = graph.node("Mul", graph.last, graph.constant(0.5))
    graph.node("MatMul", "t1", weight, shape=(5,))
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_weights_of_eight_bits_and_constants_of_nodes():
    graph = sign_image((6,))
    quantized = graph.constant(rng().integers(-1, 2, (6, 5)), np.int8)
    weight = graph.node("DequantizeLinear", quantized, graph.constant(0.1))
    offset = graph.node("Constant", value=numpy_helper.from_array(np.float32([0.05])))
    graph.node("MatMul", "t1", weight, shape=(5,))
    graph.node("Add", graph.last, offset)
    graph.add("Sign")
    agrees(head(graph))


def test_functions_of_the_file_are_written_out():
    graph = dense(sign_image((6,)))
    graph.add("Binarize", domain="local")
    head(graph)
    model = graph.model()
    nodes = [
        helper.make_node("Sign", ["x"], ["a"]),
        helper.make_node("Add", ["a", "a"], ["b"]),
        helper.make_node("Sub", ["b", "a"], ["y"]),
    ]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Binarize", ["x"], ["y"], nodes, opsets))
    agrees(model.SerializeToString(), exact=True)


def test_nodes_in_any_order_and_nodes_that_nobody_uses():
    graph = network()
    last = graph.last
    graph.node("Sign", "t0")
    graph.node("Exp", graph.constant(1.0))
    graph.nodes.reverse()
    graph.last = last
    agrees(graph)


def test_zeros_of_weights_and_a_norm_that_decides_alone():
    graph = conv(image())
    norm(graph, [0.0, 0.0], beta=[0.5, -0.5])
    graph.add("Sign")
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("ending", [".onnx", ".qonnx", ".onnx.gz"])
def test_files_are_read_by_their_endings(tmp_path, ending):
    content = network().bytes()
    path = tmp_path / f"some{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    found = read(path, check=20)
    assert found.network.name == "some"
    assert found.agreement.images == 20
    assert "neurons are those of the file on 20 images" in str(found.agreement)
    assert bnnopt.from_onnx(path, check=0).input_shape == (1, 5, 5)


def test_a_network_that_disagrees_is_not_given_away():
    imported = read_onnx(network().bytes(), input_range=(0, 255))
    imported.limits = (Fraction(0), Fraction(100))  # the file is given another range
    with pytest.raises(ImportDisagreesError, match=r"image \d+ of the comparison"):
        compared(imported, 20).raise_if_wrong()


REFUSED: dict[str, Any] = {}


def refusing(words: str) -> Any:
    def register(make: Any) -> Any:
        REFUSED[make.__name__] = make, words
        return make

    return register


@refusing("real numbers and no signs")
def a_network_of_relu(graph: Graph) -> None:
    dense(graph)
    graph.add("Relu")


@refusing("has 2 outputs")
def two_outputs(graph: Graph) -> None:
    dense(graph)
    graph.add("Sign")


@refusing("has 2 inputs")
def two_inputs(graph: Graph) -> None:
    dense(graph)
    graph.add("Sign")


@refusing("real weights")
def real_weights_between_signs(graph: Graph) -> None:
    graph.add("Sign")
    graph.add("MatMul", graph.constant(rng().normal(size=(6, 6))))
    graph.add("Sign")


@refusing("real weights")
def a_sum_across_a_shortcut_of_norms(graph: Graph) -> None:
    graph.add("Sub", graph.constant(127.5))
    first = graph.add("Sign")
    dense(graph)
    one = norm(graph, rng().normal(size=6)).last
    graph.node("Add", first, one)
    graph.add("Sign")


@refusing("pixels and signs together")
def thresholds_on_pixels_and_signs(graph: Graph) -> None:
    dense(graph)
    graph.add("Sign")
    graph.node("Add", "image", graph.last)
    graph.add("Sign")


@refusing("none of the operators")
def several_bits(graph: Graph) -> None:
    more = [graph.constant(value) for value in (0.5, 0.0, 2.0)]
    graph.add("Quant", *more, domain="qonnx.custom_op.general", signed=1, narrow=0)


@refusing("only signs fit")
def a_staircase(graph: Graph) -> None:
    graph.add("Mul", graph.constant(0.1))
    graph.add("Round")


@refusing("none of the operators")
def a_recurrent_network(graph: Graph) -> None:
    weights = [graph.constant(np.ones((1, 8, 6))), graph.constant(np.ones((1, 8, 2)))]
    graph.add("LSTM", *weights, hidden_size=2)


@refusing("branches and loops")
def a_branch(graph: Graph) -> None:
    dense(graph)
    graph.add("Sign")
    body = helper.make_graph([], "then", [], [])
    node = helper.make_node("If", [graph.last], ["out"], then_branch=body, else_branch=body)
    graph.nodes.append(node)
    graph.last = "out"


@refusing("divides by what depends on the image")
def a_quotient(graph: Graph) -> None:
    graph.node("Div", graph.constant(1.0), "image")
    graph.add("Sign")


@refusing("no sign between it and the image")
def a_linear_network(graph: Graph) -> None:
    dense(graph)


@refusing("does not depend on the image")
def a_constant(graph: Graph) -> None:
    graph.node("Neg", graph.constant(np.ones((1, 3))))


@refusing("one a class fits")
def an_output_of_many_sides(graph: Graph) -> None:
    graph.add("Sign")
    graph.add("Reshape", graph.constant([-1, 2, 3], np.int64), shape=(2, 3))


@refusing("binarized networks: Add")
def bipolar_quant_that_is_not_that_of_qonnx(graph: Graph) -> None:
    graph.add("BipolarQuant", graph.constant(1.0))


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_no_binarized_network_is_refused_with_the_reason(name):
    make, words = REFUSED[name]
    graph = image((6,))
    make(graph)
    if name not in ("a_constant", "an_output_of_many_sides", "several_bits"):
        head(graph)
    model = graph.model()
    if name == "two_outputs":
        model.graph.output.append(helper.make_tensor_value_info("t0", 1, None))
    if name == "two_inputs":
        model.graph.input.append(helper.make_tensor_value_info("other", 1, [1]))
    message = refused(model.SerializeToString(), words)
    assert message.count("does not fit") <= 1


def test_the_node_at_fault_is_named():
    graph = network()
    graph.nodes[2].op_type = "Elu"
    assert "node 'nt2' (Elu)" in refused(graph, "none of the operators")


def test_onnxruntime_that_does_not_run_a_file_is_an_error_of_one_line():
    model = network().model()
    model.ir_version = 10**6
    imported = read_onnx(model.SerializeToString())
    with pytest.raises(NetworkFormatError, match="onnxruntime does not run the file") as found:
        compared(imported, 3)
    assert "\n" not in str(found.value)
