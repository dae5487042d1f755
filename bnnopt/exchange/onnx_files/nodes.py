"""The nodes of an ONNX file: checked, without functions of its own, each behind its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import short

__all__ = ["attributes", "check_tensor", "checked", "in_order", "numpy_kind"]

MOST_NODES = 20_000
MOST_BYTES = 2**28
"""Of all nodes, once functions are written out."""

OLDEST = 7
"""The first set of operators that broadcasts as numpy does."""

DEEPEST = 60
"""Functions that call each other."""


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, of one graph without functions; its nodes hold no graphs or other files.

    Raises
    ------
    NetworkFormatError
    """
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    newest = onnx.defs.onnx_opset_version()
    if len(opsets) != 1 or not OLDEST <= opsets[0] <= newest:
        raise NetworkFormatError(
            f"the file is of operator sets {opsets}: one from {OLDEST} to {newest} fits"
        )
    for node in _every_node(model):
        if not any(node.output) or (node.op_type == "Split" and not all(node.output)):
            raise NetworkFormatError(f"node {short(node.name)} has an output without a name")
        try:
            attributes(node)
        except NetworkFormatError as error:
            where = f"node {short(node.name or node.output[0])} ({short(node.op_type)[1:-1]})"
            raise NetworkFormatError(f"{where} does not fit: {error}") from None
    size = _sizes(model)
    if size[0] > MOST_NODES or size[1] > MOST_BYTES:
        raise NetworkFormatError(
            f"the file has {size[0]} nodes of {size[1]} bytes: at most {MOST_NODES} of "
            f"{MOST_BYTES} fit"
        )
    return _inlined(model) if model.functions else model


def _every_node(model: onnx.ModelProto) -> Iterable[onnx.NodeProto]:
    for holder in (model.graph, *model.functions):
        yield from holder.node


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """By name: numbers, lists, bytes, tensors that lie in the file, and the type of a Cast."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            raise NetworkFormatError("it holds a graph of its own: branches and loops do not fit")
        if attribute.type in (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS):
            raise NetworkFormatError("it holds a sparse tensor: write it as a dense one")
        for tensor in (attribute.t, *attribute.tensors):
            check_tensor(tensor)
        if not attribute.ref_attr_name:
            found[attribute.name] = _value(attribute)
    if node.op_type == "Cast" and "to" in found:
        found["to"] = numpy_kind(found["to"])
    return found


def numpy_kind(number: Any) -> np.dtype[Any]:
    """One of numpy's types; that of objects for any that it has not."""
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, ValueError, TypeError):
        return np.dtype(object)


def _value(attribute: AttributeProto) -> Any:
    try:
        return onnx.helper.get_attribute_value(attribute)
    except (ValueError, TypeError) as error:
        raise NetworkFormatError(f"attribute {short(attribute.name)} is broken: {error}") from None


def check_tensor(tensor: TensorProto) -> None:
    """Refuse one that lies in another file."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise NetworkFormatError("it lies in another file: save the model as one file")


def _sizes(model: onnx.ModelProto) -> tuple[int, int]:
    """Nodes and bytes that all functions, written out, come to."""
    own = {(f.domain, f.name): f for f in model.functions}
    known: dict[tuple[str, str], tuple[int, int]] = {}

    def of(nodes: Iterable[onnx.NodeProto], above: tuple[Any, ...]) -> tuple[int, int]:
        count = size = 0
        for node in nodes:
            key = node.domain, node.op_type
            if key not in own:
                count, size = count + 1, size + node.ByteSize()
                continue
            if key in above or len(above) > DEEPEST:
                raise NetworkFormatError(f"function {short(node.op_type)} calls itself")
            if key not in known:
                known[key] = of(own[key].node, (*above, key))
            count, size = count + known[key][0], size + known[key][1]
        return count, size

    return of(model.graph.node, ())


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx.inliner

    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise NetworkFormatError(f"its functions do not inline: {error}") from None


def in_order(graph: onnx.GraphProto, known: Iterable[str]) -> list[onnx.NodeProto]:
    """Each node behind those whose outputs it takes, whatever their order in the file.

    Parameters
    ----------
    graph : onnx.GraphProto
    known : iterable of str
        What is there before any of them.
    """
    known = {*known, ""}
    givers: dict[str, int] = {}
    for number, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in known or name in givers:
                raise NetworkFormatError(f"{short(name)} is given twice")
            givers[name] = number
    lacking = [{name for name in node.input if name not in known} for node in graph.node]
    takers: dict[str, list[int]] = {}
    for number, names in enumerate(lacking):
        for name in names:
            takers.setdefault(name, []).append(number)
    ready = [number for number, names in enumerate(lacking) if not names]
    found = []
    for number in ready:  # which grows
        found.append(graph.node[number])
        for name in graph.node[number].output:
            for taker in takers.get(name, []):
                lacking[taker].discard(name)
                if not lacking[taker]:
                    ready.append(taker)
    _check_all(graph, lacking)
    return found


def _check_all(graph: onnx.GraphProto, lacking: list[set[str]]) -> None:
    for node, names in zip(graph.node, lacking, strict=True):
        if names:
            raise NetworkFormatError(
                f"node {short(node.name or node.output[0])} takes {short(min(names))}, which "
                "nothing before it gives: the graph is cyclic or incomplete"
            )
