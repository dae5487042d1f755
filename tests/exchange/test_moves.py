"""Places that are moved, chosen, repeated and put together."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.exchange.graphs import Graph
from tests.exchange.small import (
    agrees,
    conv,
    dense,
    head,
    image,
    max_pool,
    refused,
    sign_image,
    signs,
)


def whole(graph: Graph, values: object) -> str:
    return graph.constant(values, np.int64)


def ended(graph: Graph, size: int) -> Graph:
    graph.add("Flatten", shape=(size,))
    dense(graph, 4)
    graph.add("Sign")
    return head(graph)


@pytest.mark.parametrize("axis", [0, 1, 2, 4, -1, -3])
def test_flatten_at_any_axis(axis):
    graph = conv(image((1, 4, 4), batch=1))
    graph.add("Sign")
    graph.add("Flatten", axis=axis)
    graph.add("Reshape", whole(graph, [1, 18]))
    agrees(ended(graph, 18), exact=True)


@pytest.mark.parametrize("shape", [[1, -1], [-1, 18], [0, 18], [0, 2, -1], [1, 2, 9]])
def test_reshape(shape):
    graph = conv(image((1, 4, 4)))
    graph.add("Sign")
    graph.add("Reshape", whole(graph, shape))
    agrees(ended(graph, 18), exact=True)


def test_reshape_to_a_shape_that_is_computed():
    graph = conv(image((1, 4, 4)))
    before = graph.add("Sign")
    graph.add("Shape")
    graph.add("Gather", whole(graph, 0))
    first = graph.add("Unsqueeze", whole(graph, [0]))
    graph.node("Concat", first, whole(graph, [-1]), axis=0)
    graph.node("Reshape", before, graph.last)
    agrees(ended(graph, 18), exact=True)


@pytest.mark.parametrize("shape", [[4, 18], [-1, 18], [4, -1]])
def test_a_batch_that_is_fixed(shape):
    graph = conv(image((1, 4, 4), batch=4))
    graph.add("Sign")
    graph.add("Reshape", whole(graph, shape))
    agrees(ended(graph, 18), exact=True)


def test_a_batch_that_is_laid_out_anew_is_refused():
    graph = conv(image((1, 4, 4), batch=4))
    graph.add("Sign")
    graph.add("Reshape", whole(graph, [2, 36]))
    refused(ended(graph, 36), "Reshape")


@pytest.mark.parametrize("last", [True, False])
def test_channels_first_and_last(last):
    graph = image((5, 5, 2) if last else (2, 5, 5))
    if last:
        graph.add("Transpose", perm=[0, 3, 1, 2], shape=(2, 5, 5))
    conv(graph, 3)
    graph.add("GreaterOrEqual", graph.constant(0.0))
    graph.add("Cast", to=1)
    max_pool(graph)
    graph.add("Transpose", perm=[0, 2, 3, 1], shape=(3, 3, 3))
    found = agrees(head(graph), exact=True)
    assert found.network.hidden[0].convolution is not None


@pytest.mark.parametrize("opset", [11, 13])
def test_squeeze_and_unsqueeze(opset):
    graph = image((2, 3, 1), opset=opset)
    for kind, axes in (("Squeeze", [-1]), ("Unsqueeze", [1, 4]), ("Squeeze", [1])):
        more = [whole(graph, axes)] if opset >= 13 else []
        graph.add(kind, *more, **({} if opset >= 13 else {"axes": axes}))
    graph.add("MaxPool", kernel_shape=[2, 1], strides=[1, 1])
    graph.add("Sub", graph.constant(90.5))
    graph.add("Sign")
    agrees(ended(graph, 4), exact=True)


def test_squeeze_of_all_axes_of_one():
    graph = conv(image((1, 2, 2)), 5)
    graph.add("Sign")
    graph.add("Squeeze", shape=(5,))
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("opset", [9, 10, 13])
@pytest.mark.parametrize("part", [(1, 9, 1), (-3, -1, 1), (0, 99, 2), (-1, -99, -2), (4, 1, -1)])
def test_slice(opset, part):
    start, end, step = part
    if opset == 9 and step != 1:
        pytest.skip("steps came later")
    graph = conv(image((1, 6, 6), opset=opset))
    graph.add("Sign")
    if opset == 9:
        graph.add("Slice", starts=[start], ends=[end], axes=[2])
    else:
        parts = [whole(graph, [number]) for number in (start, end, 2, step)]
        graph.add("Slice", *parts)
    size = 2 * 5 * len(range(5)[start:end:step])
    agrees(ended(graph, size), exact=True)


@pytest.mark.parametrize("index", [[0, 2, 2, -1], [[1], [0]], 3])
def test_gather(index):
    graph = conv(image((1, 5, 5)))
    graph.add("Sign")
    graph.add("Gather", whole(graph, index), axis=3)
    agrees(ended(graph, 8 * np.asarray(index).size), exact=True)


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("before", ["image", "sums", "signs"])
def test_split_and_concat_of_a_channel_shuffle(opset, before):
    graph = image((4, 4, 4), opset=opset)
    if before != "image":
        conv(graph, 4, 1)
    if before == "signs":
        graph.add("Sign")
    given: dict[str, object] = {"axis": 1} | ({"num_outputs": 2} if opset >= 18 else {})
    graph.nodes.append(helper.make_node("Split", [graph.last], ["one", "two"], **given))
    graph.node("Concat", "two", "one", axis=-3)
    conv(graph)
    graph.add("Sign")
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("opset", [11, 13])
def test_split_into_parts_of_given_sizes_that_are_added(opset):
    graph = dense(image((6,), opset=opset), 7)
    graph.add("Sign")
    more = [whole(graph, [3, 1, 3])] if opset >= 13 else []
    given = {} if opset >= 13 else {"split": [3, 1, 3]}
    graph.nodes.append(
        helper.make_node("Split", [graph.last, *more], ["one", "rest", "two"], axis=1, **given)
    )
    graph.node("Sub", "one", "two", shape=(3,))
    dense(graph, 4)
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_concat_of_signs_of_different_depths():
    graph = sign_image((2, 5, 5))
    before = graph.last
    graph.add("Conv", graph.constant(signs(3, 2, 3, 3)), pads=[1, 1, 1, 1], shape=(3, 5, 5))
    one = graph.add("Sign")
    graph.node("Concat", before, one, axis=1, shape=(5, 5, 5))
    conv(graph)
    graph.add("Sign")
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Sum"])
def test_skips_of_signs_of_different_depths(kind):
    graph = sign_image((2, 5, 5))
    before = graph.last
    graph.add("Conv", graph.constant(signs(2, 2, 3, 3)), pads=[1, 1, 1, 1], shape=(2, 5, 5))
    one = graph.add("Sign")
    graph.node(kind, before, one)
    conv(graph)
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_a_skip_to_the_head():
    graph = dense(image((6,)), 5)
    first = graph.add("Sign")
    dense(graph, 5, seed=2)
    second = graph.add("Sign")
    graph.node("Concat", first, second, axis=1, shape=(10,))
    agrees(head(graph), exact=True)


def test_a_tensor_added_to_itself():
    graph = dense(sign_image((6,)), 5)
    graph.add("Sign")
    graph.node("Add", graph.last, graph.last)
    dense(graph, 4)
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_concat_of_sums_before_a_norm_and_a_sign():
    graph = sign_image((2, 5, 5))
    before = graph.last
    one = graph.add("Conv", graph.constant(signs(2, 2, 2, 2)))
    graph.node("Conv", before, graph.constant(signs(3, 2, 2, 2, seed=4) * 0.5))
    graph.node("Concat", one, graph.last, axis=1, shape=(5, 4, 4))
    graph.add("Add", graph.constant(0.25))
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_expand():
    graph = dense(image((6,)), 5)
    graph.add("Sign")
    graph.add("Unsqueeze", whole(graph, [1]))
    graph.add("Expand", whole(graph, [1, 3, 1]))
    graph.add("Mul", graph.constant(signs(3, 5)))
    agrees(ended(graph, 15), exact=True)


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [1, -1, None])
def test_a_softmax_at_the_end_is_left_out(opset, kind, axis):
    graph = head(dense_sign(image((6,), opset=opset)))
    graph.add(kind, **({} if axis is None else {"axis": axis}))
    graph.add("Identity")
    graph.add("Reshape", whole(graph, [-1, 3]))
    found = agrees(graph, exact=True)
    assert found.softmax


def dense_sign(graph: Graph) -> Graph:
    dense(graph)
    graph.add("Sign")
    return graph


@pytest.mark.parametrize("where", ["in the middle", "over a part"])
def test_a_softmax_elsewhere_is_refused(where):
    graph = head(dense_sign(image((6,))))
    if where == "over a part":
        graph.add("Reshape", whole(graph, [-1, 3, 1]))
    graph.add("Softmax", axis=-1)
    if where == "in the middle":
        graph.add("Mul", graph.constant(2.0))
        refused(graph, "follows a Softmax, which must be last")
    else:
        refused(graph, "part of the numbers")


def test_a_part_that_is_constant_beside_one_that_is_not_is_refused():
    graph = dense_sign(image((6,)))
    graph.node("Concat", graph.last, graph.constant(np.ones((1, 2))), axis=1, shape=(8,))
    refused(head(graph), "constants beside parts")


@pytest.mark.parametrize(
    ("kind", "more", "given"),
    [
        ("Gather", [[9]], {"axis": 1}),
        ("Slice", [[0], [2], [1], [0]], {}),
        ("Reshape", [[7, -1]], {}),
        ("Reshape", [[-2, 6]], {}),
        ("Transpose", [], {"perm": [0, 2]}),
        ("Unsqueeze", [[9]], {}),
        ("Squeeze", [[1]], {}),
        ("Expand", [[1, 4]], {}),
        ("Flatten", [], {"axis": 7}),
    ],
)
def test_moves_that_do_not_fit_are_refused(kind, more, given):
    graph = dense_sign(image((6,)))
    graph.add(kind, *(whole(graph, part) for part in more), **given)
    refused(graph, kind)
