"""Signs, comparisons and what lies before them become thresholds that give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.exchange.graphs import QONNX, Graph
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


def ended(graph: Graph) -> Graph:
    """One more layer and a head, behind what is to be tested."""
    if len(graph.shape) == 1:
        dense(graph, 4, seed=7)
    else:
        conv(graph, 2, seed=7)
    graph.add("Sub", graph.constant(0.5))
    graph.add("Sign")
    return head(graph)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("first", ["tensor", "number"])
@pytest.mark.parametrize("before", ["image", "signs"])
def test_arithmetic_on_either_side(kind, first, before):
    graph = dense((image if before == "image" else sign_image)((6,)))
    number = graph.constant([2.0, -1.0, 4.0, -2.0, 1.0, 0.5])
    inputs = [graph.last, number] if first == "tensor" else [number, graph.last]
    graph.node(kind, *inputs)
    graph.add("Add", graph.constant(0.25))
    graph.add("Sign")
    if kind == "Div" and first == "number":
        refused(ended(graph), "divides by what depends on the image")
    else:
        agrees(ended(graph), exact=True)


def test_neg_sum_and_a_sum_of_numbers():
    graph = dense(sign_image((6,)))
    graph.add("Neg")
    one = graph.last
    graph.node("Sum", graph.constant(0.5), one, graph.constant([[-1.0]]), one)
    graph.add("Sign")
    agrees(ended(graph), exact=True)


def test_a_product_of_two_parts_of_the_image_and_a_quotient_by_0_are_refused():
    graph = sign_image((6,))
    graph.node("Mul", graph.last, graph.last)
    refused(ended(graph), "product or quotient")
    graph = image((6,))
    graph.add("Div", graph.constant([1.0, 0, 1, 1, 1, 1]))
    refused(ended(graph), "divides by 0")


def mean_pool(graph: Graph) -> Graph:
    channels, rows, columns = graph.shape
    graph.add("AveragePool", kernel_shape=[2, 2], shape=(channels, rows - 1, columns - 1))
    return graph


PLACES: dict[str, Any] = {
    "dense": ended,
    "head": head,
    "pool": lambda graph: ended(max_pool(graph)),
    "two pools": lambda graph: ended(max_pool(max_pool(graph))),
    "mean": lambda graph: ended(mean_pool(graph)),
}


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.parametrize("before", ["image", "signs"])
def test_a_sign_is_0_where_its_sum_is(place, before):
    graph = conv((image if before == "image" else sign_image)((1, 6, 6)))
    if before == "image":  # four pixels, two of each sign: sums of 0 wherever they are equal
        graph.constants[-1].raw_data = np.float32([[1, -1, 1, -1], [1, 1, -1, -1]]).tobytes()
    graph.add("Sign")
    agrees(PLACES[place](graph), exact=True)


def binarized(graph: Graph, kind: str) -> Graph:
    """A sign of the last tensor, as programs write it."""
    one, minus, zero = (graph.constant(value) for value in (1.0, -1.0, 0.0))
    match kind:
        case "larq":
            graph.add("Sign")
            graph.add("Add", graph.constant(0.1))
            graph.add("Sign")
        case "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual":
            graph.add(kind, zero)
            graph.node("Where", graph.last, one, minus)
        case "0 Greater" | "0 GreaterOrEqual" | "0 Less" | "0 LessOrEqual":
            graph.node(kind[2:], zero, graph.last)
            graph.node("Where", graph.last, graph.constant(0.5), minus)
        case "Cast":
            graph.add("GreaterOrEqual", zero)
            graph.add("Cast", to=TensorProto.FLOAT)
            graph.add("Mul", graph.constant(2.0))
            graph.add("Sub", one)
        case "0 and 1":
            graph.add("Less", graph.constant(0.5))
            graph.add("Not")
            graph.add("Cast", to=TensorProto.FLOAT)
        case "whole":
            graph.add("Greater", zero)
            yes, no = (graph.constant(value, np.int64) for value in (3, -3))
            graph.node("Where", graph.last, yes, no)
            graph.add("Cast", to=TensorProto.FLOAT)
        case "int8":
            graph.add("Sign")
            graph.add("Cast", to=TensorProto.INT8)
            graph.add("Cast", to=TensorProto.FLOAT)
        case "bool":
            graph.add("Sign")
            graph.add("Cast", to=TensorProto.BOOL)  # true but for 0
            graph.add("Cast", to=TensorProto.FLOAT)
        case "like":
            graph.add("Greater", zero)
            graph.add("CastLike", one)
        case _:
            graph.add("BipolarQuant", graph.constant([0.5]), domain=kind)
    return graph


KINDS = [
    *("larq", "Cast", "0 and 1", "whole", "int8", "bool", "like", *QONNX),
    *("Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
    *("0 Greater", "0 GreaterOrEqual", "0 Less", "0 LessOrEqual"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_write_a_sign(kind):
    agrees(ended(binarized(conv(sign_image()), kind)), exact=True)


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_write_a_sign_behind_max_pooling_and_before_it(kind):
    graph = max_pool(binarized(max_pool(norm(conv(sign_image((1, 6, 6))), [1.0, -1.0])), kind))
    agrees(ended(graph))


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_write_a_sign_at_the_head(kind):
    agrees(head(binarized(dense(image((6,))), kind)), exact=True)


def test_a_sign_of_each_pixel_and_a_comparison_of_two_parts():
    graph = image((6,))
    graph.add("Greater", graph.constant([10.0, 20.5, 200, 0, 255, 127.5]))
    graph.add("Cast", to=TensorProto.FLOAT)
    agrees(ended(graph), exact=True)
    graph = image((2, 4))
    one = graph.node("Gather", "image", graph.constant(0, np.int64), axis=1)
    two = graph.node("Gather", "image", graph.constant(1, np.int64), axis=1, shape=(4,))
    graph.node("GreaterOrEqual", one, two)
    graph.add("Cast", to=TensorProto.FLOAT)
    agrees(ended(graph), exact=True)


def clip(graph: Graph, low: Any, high: Any) -> None:
    if graph.opset <= 10:
        given = {"min": low, "max": high}
        graph.add("Clip", **{name: v for name, v in given.items() if v is not None})
    else:
        graph.add("Clip", *["" if v is None else graph.constant(v) for v in (low, high)])


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 22])
@pytest.mark.parametrize(
    "limits", [(-1.0, 1.0), (None, 2.0), (-0.5, None), (1.0, 2.0), (2.0, -2.0)]
)
def test_clip_by_attributes_and_by_inputs(opset, limits):
    graph = conv(sign_image(opset=opset))
    clip(graph, *limits)
    graph.add("Sign")
    agrees(ended(graph), exact=True)


SQUASHES: dict[str, Any] = {
    "Relu": {},
    "LeakyRelu": {"alpha": 0.1},
    "Tanh": {},
    "Sigmoid": {},
    "Softsign": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
}


@pytest.mark.parametrize("kind", list(SQUASHES))
@pytest.mark.parametrize("scale", [0.25, -0.25])
@pytest.mark.parametrize("pooled", [False, True])
def test_functions_between_affine_maps_before_a_sign(kind, scale, pooled):
    graph = conv(sign_image())
    graph.add("Mul", graph.constant(scale))
    graph.add(kind, **SQUASHES[kind])
    if pooled:
        max_pool(graph)
    graph.add("Sub", graph.constant([[[0.3]], [[0.7]]]))
    graph.add("Sign")
    agrees(ended(graph))


@pytest.mark.parametrize("kind", list(SQUASHES))
def test_functions_of_signs(kind):
    graph = binarized(dense(sign_image((6,))), "larq")
    graph.add(kind, **SQUASHES[kind])
    agrees(ended(graph))


def test_a_slope_a_channel_also_where_overlapping_windows_leave_some_out():
    graph = conv(sign_image((2, 6, 6)))
    max_pool(graph, 1, 2)
    graph.add("PRelu", graph.constant([[[0.5]], [[2.0]]]))
    graph.add("Div", graph.constant([[[0.5]], [[-2.0]]]))
    graph.add("Add", graph.constant(1.5))
    graph.add("Sign")
    agrees(ended(graph), exact=True)


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_max_and_min_as_clips(kind):
    graph = conv(sign_image())
    graph.node(kind, graph.constant(1.0), graph.last)
    graph.node("Min" if kind == "Max" else "Max", graph.last, graph.constant([[[3.0]], [[1.0]]]))
    graph.add("Sub", graph.constant(1.0))
    graph.add("Sign")
    agrees(ended(graph), exact=True)


def test_a_slope_below_0_or_of_more_axes_is_refused():
    graph = dense(sign_image((6,)))
    graph.add("LeakyRelu", alpha=-0.5)
    refused(graph, "slope below 0 must be positive")
    graph = dense(sign_image((6,)))
    graph.add("PRelu", graph.constant(np.ones((3, 6))))
    refused(graph, "do not fit a tensor")


@pytest.mark.parametrize("kind", ["Round", "Floor", "Ceil"])
def test_rounding_to_several_values_is_refused(kind):
    graph = dense(sign_image((6,)))
    graph.add("Mul", graph.constant(0.5))
    graph.add(kind)
    graph.add("Sign")
    refused(ended(graph), "only signs fit")


def test_whole_numbers_of_a_type_that_would_compute_otherwise_are_refused():
    graph = dense(sign_image((6,)))
    graph.add("Sign")
    graph.add("Cast", to=TensorProto.INT32)
    graph.add("Div", graph.constant(2, np.int32))  # which rounds
    refused(graph, "int32")
    graph = dense(sign_image((6,)))
    graph.add("Sign")
    graph.add("Cast", to=TensorProto.UINT8)  # -1 is 255, or 0, or neither
    refused(graph, "beyond its range")


def test_dropout_and_identity_are_left_out_and_dropout_in_training_refused():
    graph = dense(sign_image((6,)))
    graph.add("Dropout")
    graph.add("Identity")
    graph.add("Sign")
    graph.node("Dropout", graph.last, graph.constant(0.5))
    agrees(ended(graph), exact=True)
    graph = dense(sign_image((6,)))
    graph.add("Sign")
    graph.node("Dropout", graph.last, graph.constant(0.5), graph.constant(True, bool))
    refused(ended(graph), "training mode")


def test_numbers_that_differ_a_place_before_a_sign():
    graph = image((2, 4, 4))
    graph.add("Sub", graph.constant(rng().integers(0, 255, (2, 4, 4))))
    graph.add("Mul", graph.constant(signs(1, 2, 1, 1)))
    graph.add("Sign")
    agrees(ended(graph), exact=True)
