"""Networks and attacks between bnnopt and foolbox (https://foolbox.readthedocs.io)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bnnopt.errors import InputError, MissingDependencyError

try:
    import eagerpy
    import foolbox
except ImportError as error:
    raise MissingDependencyError("foolbox", "an exchange with foolbox", "foolbox") from error

from foolbox.attacks.base import AttackWithDistance, raise_if_kwargs

from bnnopt.exchange.adapting.exact_module import ExactModule
from bnnopt.exchange.adapting.observed import ObservedAttack, ObservedModule, first_image
from bnnopt.exchange.adapting.replay import attacked, read_options
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork
from bnnopt.surrogate import Activation

__all__ = ["BinarizedModel", "BnnoptAttack", "FoolboxAttack"]

NORMS = {1: "l1", math.inf: "linf"}
"""Names of foolbox's norms in `bnnopt.goal.DISTANCES`."""


class BinarizedModel(foolbox.PyTorchModel):  # type: ignore[misc]
    """A network as foolbox's model: its own logits, exactly, and surrogate gradients.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose logits foolbox sees.
    activation : Activation, optional
        Whose derivative the gradients take; see `bnnopt.surrogate`.
    device : optional
        As for foolbox's PyTorchModel: a GPU if there is one.

    Attributes
    ----------
    network : BinarizedNetwork
    """

    def __init__(
        self, network: BinarizedNetwork, activation: Activation | None = None, device: Any = None
    ) -> None:
        self.network = network
        module = ExactModule(network, activation).eval()
        super().__init__(module, bounds=(0, 1), device=device)


class BnnoptAttack(AttackWithDistance):  # type: ignore[misc]
    """Any attack of this package as foolbox's, for the largest change of a pixel.

    It takes a `BinarizedModel` and the criteria Misclassification (or labels) and
    TargetedMisclassification. An epsilon of None asks for the smallest one that flips. A target
    is pursued against the predicted class, and reached once no class is above it. Points come in
    the inputs' type, within epsilon there, and success is what the network says of them; in
    float32 a flip that needs more digits can be lost, in float64 none is.

    Parameters
    ----------
    **options
        Arguments of `bnnopt.attack`, such as ``method="bab"`` and ``time_limit=10``, for each
        image and epsilon; the goal is any flip if it is not among them.

    Raises
    ------
    UnknownNameError
        If there is no such argument.
    """

    def __init__(self, **options: Any) -> None:
        self.options = read_options(options)

    @property
    def distance(self) -> Any:
        """The maximum norm of foolbox."""
        return foolbox.distances.linf

    def __call__(
        self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any, **kwargs: Any
    ) -> Any:
        """Attack each image of a batch.

        Parameters
        ----------
        model : BinarizedModel
            Whose network is attacked.
        inputs : tensor, shape (batch, *input_shape)
            Values in [0, 1].
        criterion : Misclassification, TargetedMisclassification or labels
            What counts as success; labels are classes to leave.
        epsilons : float, None, or a sequence of those
            Largest changes of a pixel, in [0, 1]; None asks for the smallest that flips.
        **kwargs
            None is taken: foolbox's attacks have the same signature.

        Returns
        -------
        points, clipped, success
            As of every attack of foolbox, the first two equal.

        Raises
        ------
        InputError
            If the model or the criterion is another.
        """
        raise_if_kwargs(kwargs)
        if not isinstance(model, BinarizedModel) or model.bounds != (0, 1):
            raise InputError(
                "attacks of bnnopt need a bnnopt.exchange.foolbox.BinarizedModel with bounds (0, 1)"
            )
        x, restore = eagerpy.astensor_(inputs)
        classes, kind = _classes(criterion)
        several = isinstance(epsilons, Iterable)
        found, success = [], []
        for epsilon in epsilons if several else [epsilons]:
            points = [
                attacked(model.network, image, epsilon, self.options, **{kind: int(c)})
                for image, c in zip(x.numpy(), classes, strict=True)
            ]
            predicted = model.network.predict(np.array(points))
            success.append(predicted != classes if kind == "label" else predicted == classes)
            found.append(restore(eagerpy.from_numpy(x, np.array(points))))
        flags = restore(eagerpy.from_numpy(x, np.array(success)))
        return (found, found, flags) if several else (found[0], found[0], flags[0])


class FoolboxAttack(ObservedAttack):
    """An attack of foolbox as a method, or a start, of `bnnopt.attack`.

    It gets the largest distance of its own norm that the instance allows, and the criterion of
    the instance's target; what it makes is brought into the instance's budget.

    Parameters
    ----------
    attack : foolbox.Attack
        Such as ``foolbox.attacks.LinfPGD(steps=100)``.

    Raises
    ------
    InputError
        If it is none.
    """

    method: ClassVar[str] = "foolbox"

    def __init__(self, attack: Any) -> None:
        if not isinstance(attack, foolbox.Attack):
            raise InputError(f"give an attack of foolbox, not {type(attack).__name__}")
        self._attack = attack

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "torch", "foolbox")

    def describe(self) -> str:
        """The attack and its parameters."""
        return repr(self._attack)

    def search(self, module: ObservedModule, instance: AttackInstance) -> Tensor:
        """What foolbox finds, before and after its own clipping."""
        model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
        x = torch.from_numpy(first_image(instance)).float()
        epsilon = _largest(instance, self._attack.distance)
        raw, clipped, _ = self._attack(model, x, _criterion(instance), epsilons=epsilon)
        return torch.cat([raw, clipped])


def _classes(criterion: Any) -> tuple[Any, str]:
    """Classes, an array of shape (batch,), and whether each is a label or a target."""
    if isinstance(criterion, foolbox.criteria.TargetedMisclassification):
        return criterion.target_classes.numpy(), "target"
    if isinstance(criterion, foolbox.criteria.Misclassification):
        return criterion.labels.numpy(), "label"
    if isinstance(criterion, foolbox.criteria.Criterion):
        raise InputError(
            "attacks of bnnopt take Misclassification and TargetedMisclassification, not "
            f"{type(criterion).__name__}"
        )
    return eagerpy.astensor(criterion).numpy(), "label"


def _criterion(instance: AttackInstance) -> Any:
    if instance.target == "untargeted":
        return foolbox.criteria.Misclassification(torch.tensor([instance.source]))
    return foolbox.criteria.TargetedMisclassification(torch.tensor(instance.targets))


def _largest(instance: AttackInstance, distance: Any) -> float | None:
    """The largest distance in the box; None, that is without clipping, where foolbox has none."""
    p = distance.p
    if p == 0:
        return None
    if p in NORMS:
        return instance.largest_distance(NORMS[p])
    return float(np.linalg.norm(instance.reach, p)) / instance.network.levels
