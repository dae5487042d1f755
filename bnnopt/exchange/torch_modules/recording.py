"""What a torch module does to one image, operation by operation.

The module runs on an example, and every operation of ATen that sees something of the image is
recorded, whatever code it stands in: layers, functions, custom autograd functions, loops and
branches over shapes. What does not depend on the image, such as the signs of latent weights, is
simply computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from bnnopt.errors import NetworkFormatError

__all__ = ["Operation", "Recorder", "Value"]

Array = npt.NDArray[Any]

MOST_OPERATIONS = 20_000
SHAPE_ONLY = frozenset(
    [
        "empty_like",
        "full_like",
        "new_empty",
        "new_empty_strided",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "rand_like",
        "randn_like",
        "zeros_like",
    ]
)
"""Operations that see a tensor's shape and not its numbers."""


@dataclass(frozen=True)
class Value:
    """A tensor that depends on the image, by its number."""

    number: int


@dataclass(frozen=True)
class Operation:
    """One that saw something of the image.

    Parameters
    ----------
    name : str
        Where it stands: the module's path, its kind, and a number if it has several.
    kind : str
        ATen's name for it, without the underscore of those that work in place.
    function : callable
        ATen's.
    arguments : dict
        By ATen's names, those with a default included: `Value`, array, number, list, ...
    outputs : tuple of Value
    kinds : tuple of str
        Their types, as numpy names those.
    """

    name: str
    kind: str
    function: Any
    arguments: dict[str, Any]
    outputs: tuple[Value, ...]
    kinds: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of its outputs."""
        return _names(self.name, len(self.outputs))


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what the code within it does to a tensor.

    Parameters
    ----------
    image : torch.Tensor
        What the recording begins with, `Value` 0.
    wanted : collection of str
        Names of outputs that are kept; the rest of the record is left out then.
    """

    def __init__(self, image: torch.Tensor, wanted: Collection[str] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.kept: dict[str, Array] = {}
        self.shapes: list[tuple[int, ...]] = []
        self.bytes = 0
        self._wanted = wanted
        self._path: list[str] = []
        self._names: Counter[str] = Counter()
        self._numbers: dict[Any, int] = {}
        self._storages: dict[int, list[Any]] = {}
        self._alive: list[Any] = []  # storages, so that none is freed and used again
        self._new(image)

    def watch(self, module: torch.nn.Module) -> list[Any]:
        """Name operations by the parts of a module that they stand in; the hooks that do it."""
        found: list[Any] = []
        for path, part in module.named_modules():
            if path:
                found += [
                    part.register_forward_pre_hook(lambda *_, p=path: self._path.append(p)),
                    part.register_forward_hook(lambda *_: self._left(), always_call=True),
                ]
        return found

    def _left(self) -> None:
        self._path.pop()

    def value(self, tensor: torch.Tensor) -> Value | None:
        """The number of a tensor; None for one that does not depend on the image."""
        number = self._numbers.get(_key(tensor))
        if number is not None:
            return Value(number)
        if tensor.untyped_storage().data_ptr() in self._storages:
            raise NetworkFormatError("it sees a part of a tensor that was changed in place")
        return None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and record it if it sees something of the image."""
        kwargs = kwargs or {}
        packet = func.overloadpacket.__name__
        kind = packet.removesuffix("_") if packet != "_" else packet
        given = _by_name(func, args, kwargs)
        flat, _ = tree_flatten(given)
        seen = [part for part in flat if isinstance(part, torch.Tensor)]
        try:
            depends = kind not in SHAPE_ONLY and any(self.value(t) is not None for t in seen)
            arguments = tree_map(self._argument, given) if depends and self._records else {}
        except NetworkFormatError as error:
            raise NetworkFormatError(f"{self._named(kind)} does not fit: {error}") from None
        results = func(*args, **kwargs)
        if depends:
            written = [given[a.name] for a in func._schema.arguments if _is_written(a)]
            self._record(func, kind, arguments, results, written)
        return results

    @property
    def _records(self) -> bool:
        return self._wanted is None

    def _named(self, kind: str) -> str:
        return ".".join([*self._path[-1:], kind])

    def _argument(self, part: Any) -> Any:
        """A value's number, or a constant's own copy."""
        if not isinstance(part, torch.Tensor):
            return part
        value = self.value(part)
        if value is not None:
            return value
        if part.dtype in (torch.bfloat16, torch.float16):
            raise NetworkFormatError(f"it has constants of {part.dtype}: convert it to float32")
        return np.array(part.detach().numpy())

    def _record(
        self, func: Any, kind: str, arguments: dict[str, Any], results: Any, written: list[Any]
    ) -> None:
        flat, _ = tree_flatten(results)
        tensors = [part for part in flat if isinstance(part, torch.Tensor)]
        if not tensors:
            raise NetworkFormatError(
                f"{self._named(kind)} does not fit: what the code does next depends on the image"
            )
        if not written and all(_key(tensor) in self._numbers for tensor in tensors):
            return  # another handle of the same numbers
        base = self._named(kind)
        self._names[base] += 1
        name = base if self._names[base] == 1 else f"{base}_{self._names[base]}"
        for tensor in written:
            for key in self._storages.pop(tensor.untyped_storage().data_ptr(), []):
                self._numbers.pop(key, None)
        outputs = tuple(self._new(tensor) for tensor in tensors)
        if self._wanted is not None:
            for each, tensor in zip(_names(name, len(tensors)), tensors, strict=True):
                if each in self._wanted:
                    self.kept[each] = np.array(tensor.detach().numpy())
            return
        if len(self.operations) >= MOST_OPERATIONS:
            raise NetworkFormatError(f"the module has more than {MOST_OPERATIONS} operations")
        kinds = tuple(str(tensor.dtype).removeprefix("torch.") for tensor in tensors)
        self.operations.append(Operation(name, kind, func, arguments, outputs, kinds))

    def _new(self, tensor: torch.Tensor) -> Value:
        number = len(self.shapes)
        self.shapes.append(tuple(tensor.shape))
        key = _key(tensor)
        self._numbers[key] = number
        self._storages.setdefault(key[0], []).append(key)
        self._alive.append(tensor.untyped_storage())
        self.bytes += tensor.numel() * tensor.element_size()
        return Value(number)


def _names(name: str, count: int) -> list[str]:
    return [name, *(f"{name}:{number}" for number in range(1, count))]


def _key(tensor: torch.Tensor) -> Any:
    """What two handles of the same numbers have in common."""
    place = tensor.untyped_storage().data_ptr(), tensor.storage_offset()
    return (*place, tuple(tensor.size()), tensor.stride(), tensor.dtype)


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _by_name(func: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names that ATen gives them."""
    schema = func._schema.arguments
    found = {a.name: a.default_value for a in schema if a.has_default_value()}
    found |= {a.name: value for a, value in zip(schema, args, strict=False)}
    return found | kwargs
