"""bnnopt finds, and proves, the worst-case inputs of binarized neural networks."""

from __future__ import annotations

__version__ = "0.1.0"

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bnnopt import datasets, zoo
from bnnopt.api import attack, load_network
from bnnopt.certify import Certificate, EpsilonBracket, Robustness, bracket_epsilon, certify
from bnnopt.errors import BnnoptError
from bnnopt.instance import AttackInstance
from bnnopt.many import attack_images, certify_images
from bnnopt.network import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.reports import AttackReport, RobustnessReport
from bnnopt.result import AttackResult, Status

if TYPE_CHECKING:
    from bnnopt.attacks.iprop import IProp
    from bnnopt.exchange.keras import from_keras
    from bnnopt.exchange.onnx import from_onnx
    from bnnopt.exchange.onnx_write import to_onnx
    from bnnopt.exchange.state_dict import from_state_dict
    from bnnopt.exchange.torch import from_torch

__all__ = [
    "AttackInstance",
    "AttackReport",
    "AttackResult",
    "BinarizedNetwork",
    "BnnoptError",
    "Certificate",
    "EpsilonBracket",
    "HiddenLayer",
    "IProp",
    "OutputLayer",
    "Robustness",
    "RobustnessReport",
    "Status",
    "__version__",
    "attack",
    "attack_images",
    "bracket_epsilon",
    "certify",
    "certify_images",
    "datasets",
    "from_keras",
    "from_onnx",
    "from_state_dict",
    "from_torch",
    "load_network",
    "to_onnx",
    "zoo",
]

EXCHANGE = {
    "from_keras": "bnnopt.exchange.keras",
    "from_onnx": "bnnopt.exchange.onnx",
    "from_state_dict": "bnnopt.exchange.state_dict",
    "from_torch": "bnnopt.exchange.torch",
    "to_onnx": "bnnopt.exchange.onnx_write",
}


def __getattr__(name: str) -> Any:
    """Import what needs optional or heavy packages when it is first asked for."""
    if name in EXCHANGE:
        return getattr(import_module(EXCHANGE[name]), name)
    if name == "IProp":
        from bnnopt.attacks.iprop import IProp

        return IProp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
