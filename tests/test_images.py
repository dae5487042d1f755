from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer, datasets
from bnnopt.errors import DataError, InputError
from bnnopt.images import read_images, read_mask
from bnnopt.network import GRID

LEVELS = (1, 2, 3, 7, 15, 49, 255, 256, 1023, 65535, 65536)
FLOATS = (np.float16, np.float32, np.float64, np.longdouble)


@cache
def network_of(*shape: int, levels: int = 255) -> BinarizedNetwork:
    rng = np.random.default_rng(0)
    n = int(np.prod(shape))
    weight = rng.choice([-1, 1], (9, n))
    hidden = HiddenLayer(weight, weight.sum(axis=1) * levels // 2)
    output = OutputLayer(rng.choice([-1, 1], (4, 9)), np.ones(4), np.zeros(4))
    return BinarizedNetwork((hidden,), output, levels, input_shape=shape)


def whole_levels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


# --- values ------------------------------------------------------------------------------------


def is_told_apart(kind: Any, levels: int) -> bool:
    return bool(levels * 8 * float(np.finfo(kind).epsneg) <= 1)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", FLOATS)
def test_every_level_is_itself_in_every_float_type(kind: Any, levels: int) -> None:
    k = np.arange(levels + 1)
    quotient = (k / levels).astype(kind)
    if kind in (np.float32, np.longdouble):  # as torchvision divides
        quotient = k.astype(kind) / kind(levels)
    images = read_images(quotient, (levels + 1,), levels)
    if is_told_apart(kind, levels):
        assert np.array_equal(images.scaled(), k[None])
        assert np.array_equal(images.on_grid(GRID), k[None])
        if kind is not np.longdouble:  # which is rounded to float64, and that is as it is
            assert np.array_equal(images.values(), k[None] / levels)
    else:  # float16 of more than 256 levels is as it is
        assert np.array_equal(images.values(), quotient[None].astype(np.float64))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", FLOATS)
def test_a_level_may_be_multiplied_by_the_reciprocal(kind: Any, levels: int) -> None:
    if not is_told_apart(kind, levels):
        pytest.skip("the type does not tell so many levels apart")
    k = np.arange(levels + 1)
    product = (k.astype(kind) * (kind(1) / kind(levels))).astype(kind)
    images = read_images(product, (levels + 1,), levels)
    assert np.array_equal(images.scaled(), k[None])
    assert np.array_equal(images.on_grid(GRID), k[None])


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_two_steps_of_the_type_from_a_level_are_not_the_level(kind: Any, levels: int) -> None:
    k = np.arange(1, levels)
    for toward in (0.0, 1.0):
        away = (k / levels).astype(kind)
        for _ in range(2):
            away = np.nextafter(away, kind(toward))
        images = read_images(away, (len(k),), levels) if len(k) else None
        if images is not None:
            assert np.array_equal(images.values(), away[None].astype(np.float64))
            assert np.array_equal(images.scaled(), away[None].astype(np.float64) * levels)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_no_value_stands_for_two_levels(kind: Any, levels: int) -> None:
    if not is_told_apart(kind, levels):
        pytest.skip("the type does not tell so many levels apart")
    bits = np.int16 if kind is np.float16 else np.int32
    steps = np.diff((np.arange(levels + 1) / levels).astype(kind).view(bits).astype(np.int64))
    assert steps.min() > 2


@given(
    values=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    kind=st.sampled_from(FLOATS),
    levels=st.sampled_from(LEVELS),
)
def test_levels_are_the_scaled_values_on_the_grid(
    values: list[float], kind: Any, levels: int
) -> None:
    network = network_of(5, levels=levels)
    x = np.array(values).astype(kind)
    scaled = network.scaled(x)
    assert np.array_equal(network.levels_of(x), np.round(scaled * GRID) / GRID)
    assert np.all(np.abs(scaled - network.images(x) * levels) <= levels * 2.0**-51)
    if kind is np.float64:
        assert np.array_equal(network.images(x)[0], x)
        assert np.array_equal(network.levels_of(x)[0], np.round(x * levels * GRID) / GRID)


@given(values=st.lists(st.integers(0, 255), min_size=5, max_size=5), levels=st.just(255))
def test_whole_numbers_and_their_quotients_are_one_image(values: list[int], levels: int) -> None:
    network = network_of(5, levels=levels)
    if max(values) == 1:
        return
    for kind in (np.uint8, np.int16, np.int64, np.uint64, ">i4"):
        assert network.levels_of(np.array(values, dtype=kind)).tolist() == [values]
    assert network.levels_of(values).tolist() == [values]
    assert network.images(values).tolist() == [[k / 255 for k in values]]


def test_every_mnist_test_image_is_the_same_in_every_type() -> None:
    try:
        pixels = datasets.load("mnist").images
    except DataError:
        pytest.skip("needs MNIST")
    network = network_of(28, 28)
    expected = pixels.reshape(-1, 784).astype(np.float64)
    kinds = [
        pixels,
        pixels / 255.0,
        pixels.astype(np.float32) / np.float32(255),
        pixels.astype(np.float32) * np.float32(1 / 255),
        pixels.astype(np.float16) / np.float16(255),
    ]
    for images in kinds:
        assert np.array_equal(network.levels_of(images), expected)
        assert np.array_equal(network.scaled(images), expected)


def test_truth_values_are_black_and_white() -> None:
    network = network_of(3, levels=7)
    assert network.levels_of([True, False, True]).tolist() == [[7.0, 0.0, 7.0]]
    assert network.images([True, False, True]).tolist() == [[1.0, 0.0, 1.0]]


def test_whole_numbers_0_and_1_alone_are_refused_where_they_may_be_either() -> None:
    with pytest.raises(InputError, match=r"convert them to float .* or divide by 255"):
        network_of(3).predict([0, 1, 1])
    assert network_of(3).levels_of([0, 0, 0]).tolist() == [[0.0, 0.0, 0.0]]
    assert network_of(3).levels_of([0, 1, 2]).tolist() == [[0.0, 1.0, 2.0]]
    assert network_of(3, levels=1).levels_of([0, 1, 1]).tolist() == [[0.0, 1.0, 1.0]]
    assert network_of(3).levels_of([0.0, 1, 1]).tolist() == [[0.0, 255.0, 255.0]]


def test_minus_zero_is_black_in_every_type() -> None:
    for kind in FLOATS:
        x = np.array([-0.0, 1.0, 1.0]).astype(kind)
        assert network_of(3).levels_of(x).tolist() == [[0.0, 255.0, 255.0]]
        assert network_of(3).scaled(x).tolist() == [[0.0, 255.0, 255.0]]


def test_the_order_of_bytes_and_axes_in_memory_does_not_matter() -> None:
    k = whole_levels(6, 4, 3)
    network = network_of(4, 3)
    for kind in (">f2", "<f2", ">f4", "<f4", ">f8", "<f8", ">u2"):
        x = k.astype(kind) if kind == ">u2" else (k / 255).astype(kind)
        assert np.array_equal(network.levels_of(np.asfortranarray(x)), k.reshape(6, 12))
        assert np.array_equal(network.scaled(x[::-1])[::-1], k.reshape(6, 12))


@pytest.mark.parametrize(
    ("x", "remedy"),
    [
        ([0.0, 128.0, 255.0], r"0.0 to 255.0: divide by 255, or give whole numbers"),
        ([0.0, 0.5, 1.0000001], r"np.clip"),
        ([-1.0, 0.5, 1.0], r"undo a normalization"),
        ([0.0, np.nan, 1.0], r"NaN: fill"),
        ([0.0, np.inf, 1.0], r"divide by 255"),
        ([0, 2, 256], r"levels 0 to 255 .* not 0 to 256"),
        ([0, 2, -1], r"levels 0 to 255"),
        (np.array([0, 2, 2**63], dtype=np.uint64), r"levels 0 to 255"),
    ],
)
@pytest.mark.parametrize("kind", [None, np.float32])
def test_a_value_outside_its_range_is_refused_with_the_remedy(
    x: Any, remedy: str, kind: Any
) -> None:
    if kind is not None and isinstance(x[0], float):
        x = np.array(x, dtype=kind)
    with pytest.raises(InputError, match=remedy):
        network_of(3).levels_of(x)


# --- shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "given_shape", "count"),
    [
        ((28, 28), (28, 28), None),
        ((28, 28), (784,), None),
        ((28, 28), (28, 28, 1), None),
        ((28, 28), (784, 1), None),
        ((28, 28), (1, 28, 28), 1),
        ((28, 28), (1, 1, 28, 28), 1),
        ((28, 28), (1, 784), 1),
        ((28, 28), (5, 28, 28), 5),
        ((28, 28), (5, 1, 28, 28), 5),
        ((28, 28), (5, 28, 28, 1), 5),
        ((28, 28), (5, 784), 5),
        ((28, 28), (5, 784, 1), 5),
        ((28, 28), (28, 28, 28), 28),
        ((28, 28), (28, 784), 28),
        ((28, 28), (784, 784), 784),
        ((28, 28), (0, 28, 28), 0),
        ((28, 28), (0, 784), 0),
        ((1, 28, 28), (1, 28, 28), None),
        ((1, 28, 28), (28, 28), None),
        ((1, 28, 28), (28, 28, 1), None),
        ((1, 28, 28), (5, 28, 28), 5),
        ((1, 28, 28), (1, 1, 28, 28), 1),
        ((28, 28, 1), (28, 28), None),
        ((28, 28, 1), (1, 28, 28), 1),
        ((3, 8, 8), (3, 8, 8), None),
        ((3, 8, 8), (192,), None),
        ((3, 8, 8), (5, 3, 8, 8), 5),
        ((3, 8, 8), (1, 3, 8, 8), 1),
        ((12,), (12,), None),
        ((12,), (5, 12), 5),
        ((12,), (12, 1), None),
        ((12,), (1, 12), 1),
        ((1, 784), (1, 784), None),
        ((1, 784), (784,), None),
        ((1, 784), (1, 1, 784), 1),
        ((784, 1), (784, 1), None),
        ((784, 1), (1, 784), 1),
        ((1,), (1,), None),
        ((1,), (5, 1), 5),
        ((1,), (5, 1, 1), 5),
        ((2, 2), (4, 4), 4),
        ((2, 2), (2, 2, 2), 2),
    ],
)
def test_axes_of_size_one_may_be_anywhere(
    shape: tuple[int, ...], given_shape: tuple[int, ...], count: int | None
) -> None:
    network = network_of(*shape)
    k = whole_levels(*given_shape)
    flat = k.reshape(-1, network.num_inputs)
    assert np.array_equal(network.levels_of(k / 255), flat)
    classes = network.predict(k / 255)
    if count is None:
        assert isinstance(classes, int)
        assert network.logits(k / 255).shape == (4,)
        assert [h.shape for h in network.activations(k / 255)] == [(9,)]
    else:
        assert classes.shape == (count,)
        assert network.logits(k / 255).shape == (count, 4)
        assert [h.shape for h in network.activations(k / 255)] == [(count, 9)]
        assert network.margin(k / 255, 1, 0).shape == (count,)


@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    count=st.integers(0, 3),
    data=st.data(),
)
def test_a_batch_holds_its_images_in_order_wherever_axes_of_size_one_are(
    shape: list[int], count: int, data: st.DataObject
) -> None:
    network = network_of(*shape)
    spread = [side for side in shape if side != 1]
    for _ in range(data.draw(st.integers(0, 3))):
        spread.insert(data.draw(st.integers(0, len(spread))), 1)
    k = whole_levels(count, *spread)
    # Shapes that are one image by themselves, such as (3, 1) of 3 pixels, are no batch.
    if k.size != network.num_inputs and k.ndim > 1:
        assert np.array_equal(network.levels_of(k / 255), k.reshape(count, network.num_inputs))
        assert network.predict(k / 255).shape == (count,)


@pytest.mark.parametrize(
    ("shape", "given_shape", "message"),
    [
        ((3, 8, 8), (8, 8, 3), r"\(3, 8, 8\) or .* not \(8, 8, 3\): .*np.moveaxis\(x, -1, -3\)"),
        ((3, 8, 8), (5, 8, 8, 3), r"np.moveaxis\(x, -1, -3\)"),
        ((8, 8, 3), (3, 8, 8), r"np.moveaxis\(x, -3, -1\)"),
        ((28, 14), (14, 28), r"np.moveaxis\(x, -1, -2\)"),
        ((2, 3, 5), (3, 2, 5), r"np.transpose"),
        ((28, 28), (28, 28, 3), r"grey"),
        ((28, 28), (3, 28, 28, 3), r"in a batch of those"),
        ((784,), (28, 28), r"has shape \(784,\), .*: flatten"),
        ((28, 28), (14, 56), r"not \(14, 56\)"),
        ((28, 28), (), r"not \(\)"),
        ((28, 28), (0,), r"not \(0,\)"),
        ((1,), (), r"not \(\)"),
        ((28, 28), (2, 5, 28, 28), r"not \(2, 5, 28, 28\)"),
    ],
)
def test_another_shape_is_refused_with_the_one_wanted(
    shape: tuple[int, ...], given_shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        network_of(*shape).predict(np.zeros(given_shape))


def test_the_named_move_of_axes_makes_the_wanted_shape() -> None:
    for shape, wrong in (((3, 8, 8), (8, 8, 3)), ((8, 8, 3), (3, 8, 8)), ((28, 14), (14, 28))):
        for given_shape in (wrong, (5, *wrong)):
            x = np.zeros(given_shape)
            with pytest.raises(InputError) as caught:
                network_of(*shape).predict(x)
            call = str(caught.value).rpartition("with ")[2]
            network_of(*shape).predict(eval(call, {"np": np, "x": x}))


# --- libraries ---------------------------------------------------------------------------------


def test_torch_tensors_are_read_with_and_without_gradients() -> None:
    torch = pytest.importorskip("torch")
    k = whole_levels(5, 1, 4, 3)
    network = network_of(4, 3)
    classes = network.predict(k)
    x = torch.from_numpy(k)
    for tensor in (
        x,
        x.float() / 255,
        x.float().mul(1 / 255),
        (x.float() / 255).requires_grad_(),
        x.double() / 255,
        x.half() / 255,
        list(x.float() / 255),
        [(image.float() / 255).requires_grad_() for image in x],
        (x.float() / 255).requires_grad_() * 1,
    ):
        assert np.array_equal(network.levels_of(tensor), k.reshape(5, 12))
        assert np.array_equal(network.predict(tensor), classes)
    assert network.predict(x[0, 0]) == classes[0]
    assert network.predict(x[0]).tolist() == [classes[0]]


@pytest.mark.parametrize("make", ["bfloat16", "to_sparse", "to_meta"])
def test_a_tensor_that_numpy_lacks_is_refused(make: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.rand(4, 3)
    tensor = x.to("meta") if make == "to_meta" else getattr(x, make)()
    for given_x in (tensor, [tensor, tensor]):
        with pytest.raises(InputError, match=r"cannot be this tensor: .+"):
            network_of(4, 3).predict(given_x)
    if make == "bfloat16":
        with pytest.raises(InputError, match=r"call \.float\(\)"):
            network_of(4, 3).predict(tensor)


def test_pil_images_are_of_8_bits_whatever_the_levels_of_the_network_are() -> None:
    image = pytest.importorskip("PIL.Image")
    k = whole_levels(4, 3)
    for levels in (255, 15):
        network = network_of(4, 3, levels=levels)
        assert np.array_equal(network.images(image.fromarray(k)), k.reshape(1, 12) / 255)
        assert isinstance(network.predict(image.fromarray(k)), int)
        assert network.predict([image.fromarray(k)] * 2).shape == (2,)
    colours = whole_levels(4, 5, 3)
    assert np.array_equal(
        network_of(4, 5, 3).levels_of(image.fromarray(colours)), colours.reshape(1, -1)
    )
    with pytest.raises(InputError, match=r"np\.moveaxis\(x, -1, -3\)"):
        network_of(3, 4, 5).predict(image.fromarray(colours))
    dark = image.fromarray(np.ones((4, 3), dtype=np.uint8))
    assert network_of(4, 3).levels_of(dark).tolist() == [[1.0] * 12]


@pytest.mark.parametrize("mode", ["1", "P", "I", "F", "RGBA", "CMYK", "LA", "YCbCr"])
def test_a_pil_image_of_another_mode_is_refused_with_the_remedy(mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    with pytest.raises(InputError, match=r'\.convert\("L"\)'):
        network_of(4, 3).predict(image.new(mode, (3, 4)))


def test_pandas_tables_are_read() -> None:
    pd = pytest.importorskip("pandas")
    k = whole_levels(5, 12)
    network = network_of(4, 3)
    for table in (pd.DataFrame(k), pd.DataFrame(k / 255), pd.DataFrame(k, dtype="int64")):
        assert np.array_equal(network.levels_of(table), k)
        assert network.predict(table).shape == (5,)
        assert np.array_equal(network.levels_of(table.iloc[1]), k[1:2])
        assert isinstance(network.predict(table.iloc[1]), int)
    assert np.array_equal(network.levels_of(pd.Series(k[0], dtype="Int64")), k[:1])
    with pytest.raises(InputError, match="numbers"):
        network.predict(pd.DataFrame(k).assign(name="shirt"))
    with pytest.raises(InputError, match=r"numbers|NaN"):
        network.predict(pd.Series([None] * 12, dtype="Float64"))


def test_a_masked_value_is_refused_and_a_mask_of_none_is_not() -> None:
    x = np.full(3, 0.5)
    with pytest.raises(InputError, match=r"\.filled\(0\)"):
        network_of(3).predict(np.ma.masked_array(x, [True, False, False]))
    with pytest.raises(InputError, match=r"\.filled\(0\)"):
        network_of(3).predict([np.ma.masked_array(x, [True, False, False])])
    assert np.array_equal(network_of(3).images(np.ma.masked_array(x)), x[None])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "not NoneType"),
        ("digit.png", "not text: read the file first"),
        (["0.5", "0.5", "0.5"], "not text"),
        (b"\0\0\0", "not text"),
        ([0.5, None, 0.5], "objects"),
        ([[0.5], [0.5, 0.5]], "rows differ in length"),
        ([1j, 0, 0], "complex"),
        ({"x": 0.5}, "not dict"),
        ({0.5}, "not set"),
        (iter([0.5, 0.5, 0.5]), "nested lists"),
        (object(), "not object"),
        (np.zeros(3, dtype="datetime64[s]"), "datetime64"),
        (np.zeros(3, dtype=[("x", float)]), "whole numbers"),
        (float, "not type"),
        ([10**400, 0, 0], "objects"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(x: Any, message: str) -> None:
    calls: list[Callable[[Any], Any]] = [network_of(3).predict, network_of(3).images]
    for call in calls:
        with pytest.raises(InputError, match=message) as caught:
            call(x)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 250


def test_reading_leaves_the_given_array_as_it_was() -> None:
    for x in (
        np.array([7, 1, 0], dtype=np.uint8),
        np.array([0.5, 0.1, -0.0], dtype=np.float32),
        np.array([0.5, 0.1, -0.0]),
    ):
        before = x.tobytes()
        images = read_images(x, (3,), 255)
        images.on_grid(GRID)
        images.scaled()
        images.values()
        assert x.tobytes() == before


# --- masks -------------------------------------------------------------------------------------


def test_a_mask_has_the_types_and_shapes_of_one_image() -> None:
    mask = np.array([[True, False, True], [False, False, True]])
    for given_mask in (
        mask,
        mask.ravel(),
        mask.astype(int),
        mask.astype(float).tolist(),
        mask[None],
        mask[..., None],
    ):
        assert np.array_equal(read_mask(given_mask, (2, 3)), mask)
    torch = pytest.importorskip("torch")
    assert np.array_equal(read_mask(torch.from_numpy(mask), (2, 3)), mask)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((3, 2)), "shape"),
        (np.ones((2, 2, 3)), "one image"),
        (np.ones((0, 2, 3)), "one image"),
        ([2, 0, 0, 0, 0, 0], "true or false"),
        ([0.5] * 6, "true or false"),
        ([np.nan] * 6, "true or false"),
        ("111111", "a mask must be an array"),
        (None, "a mask must be an array"),
    ],
)
def test_another_mask_is_refused(mask: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_mask(mask, (2, 3))
