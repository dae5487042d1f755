"""Matrices, convolutions and norms of ONNX files become layers that give the same."""

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


def test_matmul_with_the_image_first():
    graph = dense(image((6,)))
    graph.add("Sign")
    found = agrees(head(dense_sign(graph)), exact=True)
    assert found.network.widths[0] <= 12  # a neuron, and one more where its sum can be 0


def dense_sign(graph: Graph) -> Graph:
    dense(graph, 5, seed=3)
    graph.add("Sign")
    return graph


def test_matmul_with_a_constant_matrix_first_on_columns():
    graph = image((6,))
    graph.add("Transpose", perm=[1, 0])
    graph.node("MatMul", graph.constant(signs(4, 6)), graph.last)
    graph.add("Sign")
    graph.add("Transpose", perm=[1, 0], shape=(4,))
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("shape", [(4, 6), (6,), (1, 4, 6)])
def test_matmul_with_a_constant_first_on_an_image_without_a_batch(shape):
    graph = Graph((6,), batch=None)
    graph.node("MatMul", graph.constant(signs(*shape)), graph.last)
    graph.add("Sign")
    graph.add("Reshape", graph.constant([-1], np.int64), shape=((4,) if len(shape) > 1 else (1,)))
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("side", ["left", "right"])
def test_matmul_of_three_axes(side):
    graph = image((3, 4))
    if side == "right":
        graph.add("MatMul", graph.constant(signs(4, 5)), shape=(3, 5))
    else:
        graph.node("MatMul", graph.constant(signs(5, 3)), graph.last, shape=(5, 4))
    graph.add("Sign")
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 2), (1, 1, 4, 2)])
def test_matmul_by_a_vector_or_a_matrix_with_axes_of_one(shape):
    graph = image((3, 4))
    out = {1: (3,), 3: (3, 2), 4: (1, 3, 2)}[len(shape)]
    graph.add("MatMul", graph.constant(signs(*shape)), shape=out)
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_several_matrices_are_refused():
    graph = image((3, 4))
    graph.add("MatMul", graph.constant(signs(3, 4, 2)), shape=(3, 2))
    refused(head(graph), "MatMul.*3 matrices")


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, "row", "number", "matrix"])
def test_gemm(transposed, bias):
    graph = image((6,))
    weight = signs(5, 6) if transposed else signs(6, 5)
    numbers = {"row": rng(1).integers(-3, 4, 5), "number": 2.0, "matrix": np.ones((1, 5))}
    more = [] if bias is None else [graph.constant(numbers[bias])]
    given = {"transB": transposed, "alpha": 0.5, "beta": -2.0}
    graph.add("Gemm", graph.constant(weight), *more, shape=(5,), **given)
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_gemm_of_a_column():
    graph = image((6,))
    graph.add("Transpose", perm=[1, 0])
    graph.add("Gemm", graph.constant(signs(6, 5)), transA=1, shape=(5,))
    graph.add("Sign")
    agrees(head(graph), exact=True)


def test_a_gemm_whose_bias_would_widen_it_is_refused():
    graph = image((6,))
    graph.add("Gemm", graph.constant(signs(6, 5)), graph.constant(np.ones((2, 5))), shape=(5,))
    refused(graph, "Gemm.*do not fit")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"strides": [2, 1]},
        {"pads": [1, 0, 2, 1]},
        {"dilations": [2, 2]},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID", "strides": [1, 2]},
        {"pads": [1, 1, 1, 1], "strides": [2, 2], "dilations": [1, 2]},
    ],
)
@pytest.mark.parametrize("before", ["image", "signs"])
def test_conv(given, before):
    graph = (image if before == "image" else sign_image)((2, 6, 7))
    kernel, bias = graph.constant(signs(3, 2, 2, 3)), graph.constant([1.0, 0.0, -2.0])
    graph.add("Conv", kernel, bias, **given)
    graph.add("Sign")
    graph.add("GlobalAveragePool", shape=(3, 1, 1))
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("groups", [2, 4])
def test_conv_of_groups(groups):
    graph = sign_image((4, 4, 4))
    kernel = graph.constant(signs(4, 4 // groups, 2, 2))
    graph.add("Conv", kernel, group=groups, shape=(4, 3, 3))
    graph.add("Sign")
    agrees(head(graph), exact=True)


@pytest.mark.parametrize("given", [{}, {"pads": [2, 1]}, {"strides": [2], "dilations": [2]}])
def test_conv_of_a_signal(given):
    graph = image((2, 9))
    graph.add("Conv", graph.constant(signs(3, 2, 3)), graph.constant([1.0, 0.0, 2.0]), **given)
    graph.add("Sign")
    graph.add("ReduceMean", axes=[2], keepdims=0, shape=(3,))
    agrees(head(graph), exact=True)


def test_conv_of_volumes_is_refused():
    graph = image((2, 3, 3, 3))
    graph.add("Conv", graph.constant(signs(3, 2, 2, 2, 2)))
    refused(graph, "Conv.*it takes")


GAMMAS = {"rising": [1.3, 0.4], "falling": [-1.0, -0.2], "both": [-0.7, 1.0], "zero": [0.0, 1.0]}


@pytest.mark.parametrize("gamma", list(GAMMAS))
@pytest.mark.parametrize("place", ["before pool", "behind pool", "without pool"])
@pytest.mark.parametrize("before", ["image", "signs"])
def test_norm_of_any_direction(gamma, place, before):
    graph = conv((image if before == "image" else sign_image)())
    if place == "behind pool":
        max_pool(graph)
    norm(graph, GAMMAS[gamma])
    if place == "before pool":
        max_pool(graph)
    graph.add("Sign")
    agrees(head(conv(graph)))


def test_norm_on_the_image_and_on_the_head():
    graph = norm(image((2, 4, 4)), [1.5, -0.5], mean=[100.0, 30.0])
    graph.add("Conv", graph.constant(signs(3, 2, 2, 2)), pads=[1, 1, 1, 1], shape=(3, 5, 5))
    graph.add("Sign")
    agrees(norm(head(graph), [0.7, -1.2, 1.0]))


def test_norm_fused_into_a_convolution():
    graph = sign_image()
    scale = np.array([0.37, -1.91, 0.003]).reshape(3, 1, 1, 1)
    graph.add("Conv", graph.constant(signs(3, 1, 2, 2) * scale), graph.constant([0.1, -0.7, 0]))
    graph.shape = (3, 4, 4)
    graph.add("Sign")
    assert agrees(head(graph)).notes == ()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_norm_of_another_number_of_channels_is_refused(size):
    graph = conv(image(), 4)
    names = [graph.constant(np.ones(size)) for _ in range(4)]
    graph.add("BatchNormalization", *names)
    refused(graph, "BatchNormalization.*4 channels")


def test_a_norm_in_training_mode_is_refused():
    graph = conv(image(), 2)
    names = [graph.constant(np.ones(2)) for _ in range(4)]
    graph.add("BatchNormalization", *names, training_mode=1)
    refused(head(graph), "training mode")


def test_a_norm_of_one_more_layer_of_neurons_is_refused_between_signs():
    graph = dense(sign_image((5,)))
    graph.add("Sign")
    norm(graph, rng().normal(size=6))
    dense(graph)
    graph.add("Sign")
    refused(head(graph), "real weights")


def test_ternary_weights_and_weights_times_a_scale_a_row():
    graph = sign_image((8,))
    weight = rng().choice([-1.0, 0.0, 1.0], (8, 6)) * rng(1).choice([0.37, 2.0, 0.1], 6)
    graph.add("MatMul", graph.constant(weight), shape=(6,))
    graph.add("Sign")
    assert agrees(head(graph), exact=True).notes == ()


def test_weights_of_several_whole_values():
    graph = sign_image((8,))
    weight = rng().integers(-3, 4, (8, 6)) * 0.3
    graph.add("MatMul", graph.constant(weight), shape=(6,))
    graph.add("Add", graph.constant(0.1))
    graph.add("Sign")
    assert "nearly" in agrees(head(graph)).notes[0]


def test_weights_that_differ_by_little_are_not_taken_for_equal():
    graph = sign_image((4,))
    graph.add("MatMul", graph.constant(signs(4, 6) * (1 + 1e-6 * np.arange(4)[:, None])))
    graph.shape = (6,)
    graph.add("Sign")
    refused(head(graph), "real weights")


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_real_weights_of_a_first_layer_are_put_on_a_grid(kind):
    graph: Any = image((1, 6, 6))
    if kind == "dense":
        graph.add("Flatten", shape=(36,))
        graph.add("MatMul", graph.constant(rng().normal(size=(36, 9))), shape=(9,))
    else:
        graph.add("Conv", graph.constant(rng().normal(size=(3, 1, 3, 3))), shape=(3, 4, 4))
    graph.add("Sign")
    (note,) = agrees(head(graph), 150).notes
    assert "grid" in note


def test_linear_layers_one_after_the_other_become_one():
    graph = dense(dense(sign_image((5,)), 4), 6)
    graph.add("Sign")
    found = agrees(head(graph), exact=True)
    assert len(found.network.hidden) == 2
