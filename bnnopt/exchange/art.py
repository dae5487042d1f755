"""Networks and attacks between bnnopt and ART, the adversarial robustness toolbox."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bnnopt.errors import InputError, MissingDependencyError

try:
    import art  # noqa: F401
except ImportError as error:
    raise MissingDependencyError("art", "an exchange with ART", "art") from error

from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier

from bnnopt.arguments import read_class
from bnnopt.exchange.adapting.exact_module import ExactModule, image_shape
from bnnopt.exchange.adapting.observed import ObservedAttack, ObservedModule, first_image
from bnnopt.exchange.adapting.replay import attacked, read_options
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork
from bnnopt.surrogate import Activation

__all__ = ["ArtAttack", "BinarizedClassifier", "BnnoptEvasion"]

STEP = 1 / 3
"""Of `eps`: the step of ART's own defaults."""


class BinarizedClassifier(PyTorchClassifier):  # type: ignore[misc]
    """A network as ART's classifier: its own logits, exactly, and surrogate gradients.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose logits ART sees.
    activation : Activation, optional
        Whose derivative the gradients take; see `bnnopt.surrogate`.
    device : {"cpu", "gpu"}
        Where gradients are computed.

    Attributes
    ----------
    network : BinarizedNetwork
    """

    def __init__(
        self, network: BinarizedNetwork, activation: Activation | None = None, device: str = "cpu"
    ) -> None:
        self.network = network
        super().__init__(**_parts(network, ExactModule(network, activation), device))

    def predict(
        self, x: npt.NDArray[Any], batch_size: int = 128, training_mode: bool = False, **_: Any
    ) -> npt.NDArray[np.float64]:
        """Logits in float64, where PyTorchClassifier would round them to float32.

        Parameters
        ----------
        x : array, shape (batch, *input_shape)
            What lies outside [0, 1] is read as the nearer end; logits of an image with NaN are
            NaN.
        batch_size, training_mode
            Make no difference.

        Returns
        -------
        array of float64, shape (batch, C)
        """
        pixels = np.clip(x, 0.0, 1.0).reshape(len(x), -1)
        logits = self.network.logits(np.nan_to_num(pixels))
        logits[np.isnan(pixels).any(axis=1)] = np.nan
        return logits


class BnnoptEvasion(EvasionAttack):  # type: ignore[misc]
    """Any attack of this package as ART's evasion attack, for the largest change of a pixel.

    Points come in the images' type, within `eps` there; in float32 a flip that needs more digits
    can be lost, in float64 none is. A target is pursued against the predicted class.

    Parameters
    ----------
    classifier : BinarizedClassifier
        Whose network is attacked.
    eps : float or None
        Largest change of a pixel, in [0, 1]; None asks for the smallest one that flips.
    targeted : bool
        Whether labels are classes to reach rather than to leave.
    **options
        Arguments of `bnnopt.attack`, such as ``method="bab"`` and ``time_limit=10``, for each
        image; the goal is any flip if it is not among them.

    Raises
    ------
    UnknownNameError
        If there is no such argument.
    art.exceptions.EstimatorError
        If the classifier is another.
    """

    attack_params: ClassVar[list[str]] = [
        *EvasionAttack.attack_params,
        "eps",
        "targeted",
        "options",
    ]
    _estimator_requirements = (BinarizedClassifier,)

    def __init__(
        self,
        classifier: BinarizedClassifier,
        eps: float | None = 0.01,
        targeted: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(estimator=classifier)
        self.eps, self.options = eps, read_options(options)
        self.targeted = targeted

    def generate(
        self, x: npt.NDArray[Any], y: npt.NDArray[Any] | None = None, **_: Any
    ) -> npt.NDArray[Any]:
        """Attack each image of a batch.

        Parameters
        ----------
        x : array of float, shape (batch, *input_shape)
            Values in [0, 1].
        y : array, shape (batch,), (batch, 1) or (batch, C), optional
            Class numbers, or one-hot rows; the predicted classes if not given.

        Returns
        -------
        array of the shape and type of `x`

        Raises
        ------
        InputError
            If targets are asked for and not given, or `y` does not fit.
        """
        network = self.estimator.network
        if y is None and self.targeted:
            raise InputError("a targeted attack needs its targets: give y")
        classes = self.estimator.predict(x).argmax(axis=1) if y is None else _classes(y, network)
        if len(classes) != len(x):
            raise InputError(f"y has {len(classes)} classes: give {len(x)}, one an image")
        kind = "target" if self.targeted else "label"
        points = [
            attacked(network, image, self.eps, self.options, **{kind: c})
            for image, c in zip(x, classes, strict=True)
        ]
        return np.array(points).reshape(x.shape)


class ArtAttack(ObservedAttack):
    """An evasion attack of ART as a method, or a start, of `bnnopt.attack`.

    Parameters
    ----------
    attack : type
        A class of `art.attacks.evasion`, such as ``SquareAttack``.
    **options
        Its parameters. Of those that it has, `eps` is the instance's epsilon, `eps_step` a third
        of that, `targeted` follows the instance's target, and `verbose` is false, unless they
        are given.
    """

    method: ClassVar[str] = "art"

    def __init__(self, attack: Any, **options: Any) -> None:
        if not (isinstance(attack, type) and issubclass(attack, EvasionAttack)):
            raise InputError(
                "give a class of art.attacks.evasion, not "
                f"{attack.__name__ if isinstance(attack, type) else type(attack).__name__}"
            )
        self._attack: Any = attack
        self._options = options

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "torch", "adversarial-robustness-toolbox")

    def describe(self) -> str:
        """The attack and the parameters that were given."""
        given = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"{self._attack.__name__}({given})"

    def search(self, module: ObservedModule, instance: AttackInstance) -> Tensor:
        """What ART finds."""
        targeted = instance.target != "untargeted"
        ours = {
            "eps": instance.epsilon,
            "eps_step": instance.epsilon * STEP,
            "targeted": targeted,
            "verbose": False,
        }
        known = {name: ours[name] for name in ours if name in self._attack.attack_params}
        classifier = PyTorchClassifier(**_parts(instance.network, module, "cpu"))
        attack = self._attack(classifier, **known | self._options)
        wanted = instance.targets[0] if targeted else instance.source
        x = first_image(instance).astype(np.float32)
        labels = np.eye(instance.network.num_classes, dtype=np.float32)[[wanted]]
        return torch.from_numpy(np.asarray(attack.generate(x, labels), dtype=np.float64))


def _parts(network: BinarizedNetwork, module: torch.nn.Module, device: str) -> dict[str, Any]:
    """What PyTorchClassifier is made of."""
    return {
        "model": module,
        "loss": torch.nn.CrossEntropyLoss(),
        "input_shape": image_shape(network),
        "nb_classes": network.num_classes,
        "clip_values": (0.0, 1.0),
        "device_type": device,
    }


def _classes(y: npt.NDArray[Any], network: BinarizedNetwork) -> list[int]:
    """Classes of index labels or one-hot rows."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == network.num_classes and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    return [read_class(c, "y", network.num_classes) for c in labels.ravel()]
