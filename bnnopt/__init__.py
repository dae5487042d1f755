"""bnnopt finds, and proves, the worst-case inputs of binarized neural networks."""

from __future__ import annotations

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

from bnnopt import datasets, zoo
from bnnopt.api import attack, load_network
from bnnopt.batch import attack_batch
from bnnopt.certify import Certificate, EpsilonBracket, Robustness, bracket_epsilon, certify
from bnnopt.errors import BnnoptError
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.result import AttackResult, Status

if TYPE_CHECKING:
    from bnnopt.attacks.iprop import IProp
    from bnnopt.exchange.onnx import from_onnx

__all__ = [
    "AttackInstance",
    "AttackResult",
    "BinarizedNetwork",
    "BnnoptError",
    "Certificate",
    "EpsilonBracket",
    "HiddenLayer",
    "IProp",
    "OutputLayer",
    "Robustness",
    "Status",
    "__version__",
    "attack",
    "attack_batch",
    "bracket_epsilon",
    "certify",
    "datasets",
    "from_onnx",
    "load_network",
    "zoo",
]


def __getattr__(name: str) -> Any:
    """Import what needs optional or heavy packages when it is first asked for."""
    if name == "from_onnx":
        from bnnopt.exchange.onnx import from_onnx

        return from_onnx
    if name == "IProp":
        from bnnopt.attacks.iprop import IProp

        return IProp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
