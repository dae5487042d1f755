"""Files that mean harm end in one line, and take little time and memory.

No test asserts a time: one that hangs, or fills the memory, fails by that.
"""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.comparison.agreement import compared
from bnnopt.exchange.onnx import read_onnx
from tests.exchange.graphs import Graph
from tests.exchange.small import dense, head, image, refused, rng, sign_image, signs


def small() -> Graph:
    graph = dense(image((6,)), 5)
    graph.add("Sign")
    return head(graph)


def changed(change: Any) -> bytes:
    model = small().model()
    change(model)
    return model.SerializeToString()


def refusal(work: Any) -> str:
    """What an error says; empty without one."""
    try:
        work()
    except NetworkFormatError as error:
        return str(error)
    return ""


def ends_well(content: bytes) -> bool:
    """Whether a file is read; if so, the network must be that of the file."""
    read: list[Any] = []
    found = []
    said = refusal(lambda: read.append(read_onnx(content, input_range=(0, 255))))
    if read:  # perhaps onnxruntime does not take it
        said = refusal(lambda: found.append(compared(read[0], 6)))
    assert "\n" not in said
    assert len(said) < 700
    assert not any(agreement.wrong for agreement in found)
    return bool(read)


def test_a_file_cut_at_any_byte():
    content = small().bytes()
    for size in range(len(content)):
        ends_well(content[:size])


def test_files_with_bytes_that_are_others():
    content, draw = small().bytes(), rng()
    read = 0
    for _ in range(400):
        damaged = bytearray(content)
        for at in draw.integers(len(content), size=int(draw.integers(1, 4))).tolist():
            damaged[at] = int(draw.integers(256))
        read += ends_well(bytes(damaged))
    assert 0 < read < 400


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"\xff" * 99, b"PK\3\4", b"\x89HDF\r\n"])
def test_what_is_no_onnx_file(content):
    refused(content, "no ONNX file")


def fill(model: Any, **numbers: Any) -> None:
    tensor = model.graph.initializer[0]
    for name, value in numbers.items():
        if isinstance(value, list):
            tensor.dims[:] = value
        else:
            setattr(tensor, name, value)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"dims": [2**40, 5]}, "numbers fit"),
        ({"dims": [2**32, 2**32]}, "numbers fit"),
        ({"dims": [2**20, 5]}, "broken"),
        ({"dims": [-6, 5]}, "shape"),
        ({"dims": [5, 7]}, "broken"),
        ({"raw_data": b"123"}, "broken"),
        ({"raw_data": b""}, "broken"),
        ({"data_type": TensorProto.STRING}, "STRING|broken"),
        ({"data_type": TensorProto.BFLOAT16, "raw_data": bytes(60)}, "BFLOAT16"),
        ({"data_type": TensorProto.FLOAT8E4M3FN, "raw_data": bytes(30)}, "FLOAT8"),
        ({"data_type": 99}, "broken"),
        ({"data_location": TensorProto.EXTERNAL}, "another file"),
    ],
)
def test_initializers_that_claim_too_much(numbers, words):
    refused(changed(lambda model: fill(model, **numbers)), f"initializer 'c0'.*({words})")


def external() -> TensorProto:
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def test_no_other_file_is_opened():
    refused(changed(lambda model: model.graph.initializer.append(external())), "another file")
    node = helper.make_node("Constant", [], ["far"], value=external())
    refused(changed(lambda model: model.graph.node.append(node)), "another file")
    shape = helper.make_node("ConstantOfShape", ["c0"], ["far"], value=external())
    refused(changed(lambda model: model.graph.node.append(shape)), "another file")

    def in_function(model: Any) -> None:
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("own", "F", [], ["far"], [node], opsets))

    refused(changed(in_function), "another file")


def test_sparse_tensors_are_refused():
    refused(changed(lambda model: model.graph.sparse_initializer.add()), "sparse")
    node = helper.make_node("Constant", [], ["far"])
    node.attribute.add(name="sparse_value", type=AttributeProto.SPARSE_TENSOR)
    refused(changed(lambda model: model.graph.node.append(node)), "sparse")


BOMBS: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "shape": ("ConstantOfShape", [np.array([2**20, 2**20])], {}),
    "expand": ("Expand", [np.float32(1), np.array([2**20, 2**20])], {}),
    "tile": ("Tile", [np.float32([1]), np.array([2**40])], {}),
    "range": ("Range", [np.int64(0), np.int64(2**50), np.int64(1)], {}),
    "range to nan": ("Range", [np.float32(0), np.float32(np.nan), np.float32(1)], {}),
    "range by 0": ("Range", [np.float32(0), np.float32(1), np.float32(0)], {}),
    "product": ("MatMul", [np.zeros((2**14, 1)), np.zeros((1, 2**14))], {}),
    "products": ("MatMul", [np.zeros((2**10, 1)), np.zeros((2**7, 1, 2**10))], {}),
    "sum": ("Add", [np.zeros((2**14, 1)), np.zeros((1, 2**14))], {}),
    "where": ("Where", [np.ones((2**14, 1), bool), np.zeros((1, 2**14)), np.float64(1)], {}),
    "gather": ("Gather", [np.zeros((1, 2**12)), np.zeros(2**16, np.int64)], {}),
    "broken": ("Reshape", [np.zeros(4), np.array([3])], {}),
    "unknown": ("Attention", [np.zeros(4)], {}),
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_constants_that_would_be_large_are_refused(name):
    kind, arrays, given = BOMBS[name]

    def add(model: Any) -> None:
        names = [f"bomb{number}" for number in range(len(arrays))]
        model.graph.initializer.extend(map(numpy_helper.from_array, arrays, names))
        model.graph.node.append(helper.make_node(kind, names, ["out"], **given))

    refused(changed(add), f"node 'out' \\({kind}\\)")


def test_constants_that_are_large_together_are_refused():
    graph = small()
    sizes = [graph.constant([2**25, one], np.int64) for one in (1, 1, 1, 1, 1, 1)]
    made = [graph.node("ConstantOfShape", size) for size in sizes]
    graph.node("Concat", *made, axis=0)
    refused(graph, "constants take|numbers")


@pytest.mark.parametrize(
    ("kind", "arrays", "given"),
    [
        ("Expand", [np.array([2**20, 1, 5, 5])], {}),
        ("Pad", [np.array([0, 0, 2**40, 0, 0, 0, 0, 0]), np.float32(0)], {}),
        ("Gather", [np.zeros(2**22, np.int64)], {"axis": 3}),
        ("Add", [np.zeros((2**20, 1, 1, 1), np.float32)], {}),
        ("Reshape", [np.array([-1, 2**40])], {}),
        ("Unsqueeze", [np.arange(70)], {}),
        ("MaxPool", [], {"kernel_shape": [2**20] * 2, "ceil_mode": 1, "strides": [2**40] * 2}),
        ("MaxPool", [], {"kernel_shape": [2, 2], "pads": [2**30] * 4}),
        ("MaxPool", [], {"kernel_shape": [2, 2], "dilations": [2**62] * 2, "ceil_mode": 1}),
        ("MaxPool", [], {"kernel_shape": [0, 2]}),
        ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [0, 1]}),
        ("MaxPool", [], {"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}),
        ("MaxPool", [], {}),
        ("AveragePool", [], {"kernel_shape": [2**20] * 2, "pads": [2**20] * 4}),
        ("Conv", [np.ones((1, 1, 2, 2), np.float32)], {"group": 0}),
        ("Conv", [np.ones((1, 3, 2, 2), np.float32)], {}),
        ("Conv", [np.ones((1, 1, 0, 2), np.float32)], {}),
        ("Split", [np.array([-1, 2])], {"axis": 1}),
        ("Cast", [], {"to": 99}),
        ("Cast", [], {}),
        ("Transpose", [], {"perm": [0, 0, 1, 2]}),
        ("MatMul", [], {}),
        ("BatchNormalization", [], {}),
        ("Reshape", [], {}),
    ],
)
def test_operators_of_the_image_that_would_be_large_or_make_no_sense(kind, arrays, given):
    graph = image()
    graph.add(kind, *(graph.constant(array, array.dtype) for array in arrays), **given)
    graph.add("Sign")
    refused(graph, rf"node 'nt0' \({kind}\)|one a class")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["weight", "offset", "norm", "head", "limit", "pad"])
def test_numbers_that_are_none(value, place):
    graph = sign_image((1, 3, 3))
    weight = signs(2, 1, 2, 2)
    weight.flat[0] = value if place == "weight" else 1.0
    if place == "pad":
        sides = graph.constant([0, 0, 1, 0, 0, 0, 0, 0], np.int64)
        graph.add("Pad", sides, graph.constant(value))
    graph.add("Conv", graph.constant(weight), shape=(2, 2, 2))
    if place == "offset":
        graph.add("Add", graph.constant(value))
    if place == "norm":
        names = [graph.constant([1.0, value if at == 2 else 1.0]) for at in range(4)]
        graph.add("BatchNormalization", *names)
    if place == "limit":
        graph.add("Clip", graph.constant(np.nan))
    graph.add("Sign")
    head(graph)
    if place == "head":
        graph.add("Add", graph.constant(value))
    refused(graph, "finite|no numbers")


@pytest.mark.parametrize("turned", [False, True])
def test_a_long_chain_of_nodes_in_any_order(turned):
    graph = small()
    for _ in range(19_000):
        graph.add("Identity")
    if turned:
        graph.nodes.reverse()
    assert ends_well(graph.bytes())


def test_chains_that_are_too_long():
    graph = small()
    for _ in range(20_000):
        graph.add("Identity")
    refused(graph, "has 200.. nodes")
    graph = image((6,))
    for _ in range(5_000):
        graph.add("Neg")
    refused(graph, "functions come before it")


def test_much_work_is_refused():
    graph = Graph((1, 1024, 1024))
    for _ in range(2_000):
        graph.add("Transpose", perm=[0, 1, 3, 2])
    refused(graph, "too much work")


@pytest.mark.parametrize("count", [10**6, 10**7])
def test_more_parts_than_a_network_has_are_refused_before_they_are_parsed(count):
    graph = b"\x0a\x00" * count  # empty nodes, which would take 80 times the memory
    refused(b"\x3a" + varint(len(graph)) + graph, "more parts")


def test_packed_numbers_are_counted():
    numbers = bytes(2**26 + 1)
    inner = b"\x3a" + varint(len(numbers)) + numbers
    graph = b"\x2a" + varint(len(inner)) + inner
    refused(b"\x3a" + varint(len(graph)) + graph, "packed numbers")


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def test_functions_that_grow_without_end_are_refused():
    def add(model: Any, levels: int = 40, calls: int = 4, circle: bool = False) -> None:
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        for level in range(levels):
            name, domain = (f"F{level - 1}", "own") if level or circle else ("Identity", "")
            name = f"F{levels - 1}" if circle and not level else name
            nodes = [
                helper.make_node(name, [f"v{at}" if at else "x"], [f"v{at + 1}"], domain=domain)
                for at in range(calls)
            ]
            nodes.append(helper.make_node("Identity", [f"v{calls}"], ["y"]))
            model.functions.append(
                helper.make_function("own", f"F{level}", ["x"], ["y"], nodes, opsets)
            )
        model.opset_import.append(opsets[1])
        model.graph.node[1].op_type, model.graph.node[1].domain = f"F{levels - 1}", "own"

    refused(changed(add), "nodes of .* bytes")
    refused(changed(lambda model: add(model, 3, circle=True)), "calls itself")


def test_graphs_that_are_no_graphs():
    def cyclic(model: Any) -> None:
        model.graph.node[0].input[0] = model.graph.node[2].output[0]

    def twice(model: Any) -> None:
        model.graph.node[1].output[0] = model.graph.node[0].output[0]

    def own_input(model: Any) -> None:
        model.graph.node[0].output[0] = "image"

    def lacking(model: Any) -> None:
        model.graph.node[0].input[1] = "nowhere"

    refused(changed(cyclic), "cyclic or incomplete")
    refused(changed(lacking), "takes 'nowhere'")
    refused(changed(twice), "given twice")
    refused(changed(own_input), "given twice")
    refused(changed(lambda model: model.graph.node.add(op_type="Sign")), "without a name")
    double = numpy_helper.from_array(np.float32(1), "c0")
    refused(changed(lambda model: model.graph.initializer.append(double)), "given twice")


def test_a_split_with_an_output_without_a_name_does_not_reach_onnxruntime():
    graph = dense(image((6,)))
    graph.nodes.append(helper.make_node("Split", [graph.last], ["one", ""], axis=1))
    refused(graph, "without a name")


@pytest.mark.parametrize("elem", [0, 8, 9, 14, 16, 17, 99])
def test_inputs_of_other_types(elem):
    def change(model: Any) -> None:
        model.graph.input[0].type.tensor_type.elem_type = elem

    refused(changed(change), "its input is of type")


def test_inputs_without_shapes_or_too_large():
    def sides(*values: Any) -> Any:
        def change(model: Any) -> None:
            shape = model.graph.input[0].type.tensor_type.shape
            del shape.dim[:]
            for value in values:
                shape.dim.add(**({"dim_value": value} if value else {"dim_param": "N"}))

        return change

    refused(changed(sides()), "does not say the shape")
    refused(changed(lambda model: model.graph.input[0].ClearField("type")), "does not say")
    refused(changed(sides(1, 0)), "must be a number")
    refused(changed(sides(1, 2**40)), "1048576 fit")
    refused(changed(sides(1, *[2**20] * 9)), "1048576 fit")
    refused(changed(sides(1, -5)), "must be a number")


def test_long_names_of_many_lines_are_cut():
    def change(model: Any) -> None:
        model.graph.node[0].name, model.graph.node[0].op_type = "x\n" * 10**6, "a\nb" * 10**5

    message = refused(changed(change), "none of the operators")
    assert len(message) < 510


def test_names_that_are_no_text():
    content = small().bytes()
    for name in (b"c0", b"image", b"nt1", b"Sign"):
        refused(content.replace(name, name[:-1] + b"\xff"), "no text")


def test_packed_files(tmp_path):
    content = small().bytes()
    path = tmp_path / "net.onnx.gz"
    for packed, words in [
        (gzip.compress(bytes(300 * 2**20)), "has more than"),
        (gzip.compress(content)[:-9], "cannot be read"),
        (b"\x1f\x8bxxxx", "cannot be read"),
        (content, "cannot be read"),
    ]:
        path.write_bytes(packed)
        with pytest.raises(NetworkFormatError, match=words):
            read_onnx(path)
    for other in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(NetworkFormatError, match="cannot be read"):
            read_onnx(other)
