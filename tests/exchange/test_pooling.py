"""Maxima, means and sums of windows and axes of ONNX files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.exchange.graphs import Graph
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

WINDOWS: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "strides": [1, 2]},
    {"kernel_shape": [2, 2], "pads": [1, 0, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "dilations": [2, 3]},
    {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [1, 1], "strides": [2, 3]},
    {"kernel_shape": [2, 2], "auto_pad": "VALID"},
]
PLACES = ["before norm", "behind norm", "behind sign", "of the image", "of the image's signs"]


def ended(graph: Graph) -> Graph:
    """Whatever sides are left: a sum of each channel, and a head."""
    graph.add("GlobalAveragePool", shape=(graph.shape[0], 1, 1))
    return head(graph)


def placed(graph: Graph, place: str, kind: str, given: Any) -> Graph:
    """A pooling before, behind or without what surrounds it."""
    if place == "of the image":
        graph.add(kind, **given)
        graph.add("Sub", graph.constant(100.25))
    elif place == "of the image's signs":
        graph.add("Sub", graph.constant(127.5))
        graph.add("Sign")
        graph.add(kind, **given)
        return ended(graph)
    else:
        conv(graph, 2, 1)
        graph.add(kind, **given) if place == "before norm" else None
        norm(graph, [1.0, -0.3], mean=[20.0, -140.0])
        graph.add(kind, **given) if place == "behind norm" else None
    graph.add("Sign")
    graph.add(kind, **given) if place == "behind sign" else None
    return ended(graph)


@pytest.mark.parametrize("given", WINDOWS, ids=str)
@pytest.mark.parametrize("place", PLACES)
def test_max_pool(given, place):
    agrees(placed(image((1, 6, 7)), place, "MaxPool", given))


@pytest.mark.parametrize("place", PLACES)
def test_global_max_pool(place):
    agrees(placed(image((1, 4, 4)), place, "GlobalMaxPool", {}))


@pytest.mark.parametrize("given", [{"kernel_shape": [2]}, {"kernel_shape": [3], "pads": [1, 2]}])
def test_max_pool_of_a_signal(given):
    graph = image((2, 8))
    graph.add("Conv", graph.constant(signs(3, 2, 2)))
    graph.add("MaxPool", **given)
    graph.add("Sign")
    graph.add("ReduceSum", graph.constant([2], np.int64), keepdims=0, shape=(3,))
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("between", ["nothing", "norm", "squash", "sign", "turned sign", "scale"])
def test_pool_of_a_pool(between):
    graph = max_pool(conv(sign_image((1, 7, 7))))
    match between:
        case "norm":
            norm(graph, [0.5, 2.0])
        case "squash":
            graph.add("Clip", graph.constant(-1.0), graph.constant(1.0))
        case "sign":
            graph.add("Sign")
        case "turned sign":
            graph.add("Sign")
            graph.add("Neg")
        case "scale":
            graph.add("Sign")
            graph.add("Mul", graph.constant([[[2.0]], [[-0.5]]]))
    max_pool(graph, 2, 2)
    graph.add("Sub", graph.constant(0.25))
    graph.add("Sign")
    agrees(head(conv(graph)), exact=between != "norm")


def test_three_values_that_are_not_equally_apart_are_pooled_once_only():
    graph = conv(sign_image())
    graph.add("Sign")
    graph.add("LeakyRelu", alpha=0.25)
    max_pool(graph)
    last, shape = graph.last, graph.shape
    agrees(head(graph), exact=True)
    graph.last, graph.shape = last, shape
    refused(head(max_pool(graph)), "MaxPool.*not equally apart")


def test_signs_that_stand_for_different_numbers_are_not_pooled_together():
    graph = conv(sign_image())
    graph.add("Sign")
    graph.add("Mul", graph.constant(rng().choice([1.0, 2.0], (2, 4, 4))))
    refused(head(max_pool(graph)), "MaxPool.*stand for other numbers")


def test_numbers_that_differ_between_overlapping_windows_are_refused():
    graph = max_pool(conv(sign_image()))
    graph.add("Add", graph.constant(rng().normal(size=(2, 3, 3))))
    graph.add("Sign")
    refused(head(graph), "overlapping windows")


def test_numbers_that_differ_between_windows_apart_are_fine():
    graph = max_pool(conv(sign_image()), 2, 2)
    graph.add("Add", graph.constant(rng().normal(size=(2, 2, 2))))
    graph.add("Sign")
    agrees(head(graph))


def test_signs_that_are_used_twice_are_pooled_too():
    graph = conv(sign_image((1, 6, 6)))
    graph.add("Sign")
    before = graph.last
    pooled = max_pool(graph).last
    inner = graph.constant([1, 1], np.int64), graph.constant([9, 9], np.int64)
    graph.node("Slice", before, *inner, graph.constant([2, 3], np.int64))
    graph.node("Add", graph.last, pooled)
    conv(graph)
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_a_maximum_without_a_sign_is_refused():
    refused(head(max_pool(conv(sign_image()))), "maximum of real numbers")


def test_a_window_of_padding_only_is_refused():
    graph = conv(image())
    graph.add("Sign")
    graph.add("MaxPool", kernel_shape=[1, 1], pads=[0, 1, 0, 0])
    refused(graph, "padding only")


@pytest.mark.parametrize(
    "given",
    [
        {"kernel_shape": [2, 2]},
        {"kernel_shape": [3, 2], "strides": [2, 1]},
        {"kernel_shape": [2, 2], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ],
    ids=str,
)
@pytest.mark.parametrize("behind", ["sign", "conv", "norm", "head"])
def test_average_pool_of_signs(given, behind):
    graph = conv(sign_image((1, 7, 7)))
    graph.add("Sign")
    graph.add("AveragePool", **given)
    match behind:
        case "sign":
            graph.add("Sign")
        case "conv":
            graph.add("Conv", graph.constant(signs(3, 2, 2, 2)), shape=(3, 1, 1))
            graph.add("Sign")
        case "norm":
            norm(graph, [1.0, -0.2])
            graph.add("Sign")
    agrees(ended(graph))


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum"])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [1], [3]])
@pytest.mark.parametrize("keep", [0, 1])
def test_means_and_sums_over_axes(opset, kind, axes, keep):
    graph = conv(sign_image(opset=opset), 3)
    graph.add("Sign")
    by_input = opset >= (18 if kind == "ReduceMean" else 13)
    more = [graph.constant(axes, np.int64)] if by_input else []
    given = {"keepdims": keep} | ({} if by_input else {"axes": axes})
    sides = [3, 4, 4]
    for axis in axes:
        sides[axis - 1 if axis > 0 else axis] = 1
    graph.add(kind, *more, **given)
    graph.add("Add", graph.constant(0.25))
    graph.add("Sign")
    graph.add("Flatten", shape=(int(np.prod(sides)),))
    agrees(head(graph), exact=True)


def test_a_sum_over_all_axes_needs_a_batch_of_one():
    for batch in (None, 1):
        graph = dense(Graph((6,), batch=batch))
        graph.add("Sign")
        graph.add("ReduceSum", keepdims=1)
        graph.add("Mul", graph.constant([1.0, -1.0, 0.5]))
        agrees(graph, exact=True)
    for other in ("N", 4):
        graph = dense(Graph((6,), batch=other))
        graph.add("Sign")
        graph.add("ReduceSum", keepdims=1)
        refused(graph, "adds up the images of a batch")


def test_a_sum_over_no_axes():
    graph = dense(sign_image((6,), opset=13))
    graph.add("ReduceSum", noop_with_empty_axes=1)
    graph.add("Sign")
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("opset", [9, 11, 18])
@pytest.mark.parametrize("value", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("before", ["image", "signs"])
def test_padding_by_a_value(opset, value, before):
    graph = (image if before == "image" else sign_image)((1, 4, 4), opset=opset)
    sides = [0, 0, 1, 0, 0, 0, 2, 1]
    if opset == 9:
        graph.add("Pad", pads=sides, value=value, mode="constant")
    elif opset == 11:
        graph.add("Pad", graph.constant(sides, np.int64), graph.constant(value))
    else:
        axes = graph.constant([-2, 3], np.int64)
        some = graph.constant([1, 0, 2, 1], np.int64)
        graph.add("Pad", some, graph.constant(value), axes)
    graph.shape = (1, 7, 5)
    conv(graph)
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_padding_that_is_no_value_is_refused():
    graph = image()
    graph.add("Pad", graph.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="reflect")
    refused(graph, "only constant padding")
    graph = image()
    graph.add("Pad", graph.constant([0, 0, -1, 0, 0, 0, 0, 0], np.int64), graph.constant(0.0))
    refused(graph, "negative")


def test_indices_of_a_pooling_are_refused():
    graph = conv(image())
    graph.add("Sign")
    max_pool(graph)
    graph.nodes[-1].output.append("indices")
    graph.node("Cast", "indices", to=1)
    refused(graph, "indices")


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_windows_that_would_be_too_large_for_all_channels_are_refused(kind):
    graph = sign_image((8, 1, 1))
    graph.add(kind, kernel_shape=[1301, 1301], pads=[650] * 4, shape=(8, 1, 1))
    refused(head(graph), "a window makes 13540808 numbers")
