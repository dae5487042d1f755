"""Training and exporting binarized networks; needs torch."""

from __future__ import annotations

from bnnopt.errors import MissingDependencyError

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingDependencyError("torch", "training", "torch") from error

from bnnopt.network.folding import fold
from bnnopt.training.export import check_agreement, export, fold_model
from bnnopt.training.loop import DEVICES, TrainingRun, train
from bnnopt.training.model import HEADS, TrainableNetwork
from bnnopt.training.recipe import Recipe
from bnnopt.training.robust import attacked
from bnnopt.training.together import train_together
from bnnopt.training.zoo import ROBUST_RECIPES, shipped_recipe, train_to_file, train_zoo

__all__ = [
    "DEVICES",
    "HEADS",
    "ROBUST_RECIPES",
    "Recipe",
    "TrainableNetwork",
    "TrainingRun",
    "attacked",
    "check_agreement",
    "export",
    "fold",
    "fold_model",
    "shipped_recipe",
    "train",
    "train_to_file",
    "train_together",
    "train_zoo",
]
