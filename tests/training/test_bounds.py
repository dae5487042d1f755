"""Bounds inside training hold for every image of a box, and are reached where they can be."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from bnnopt import training  # noqa: E402
from bnnopt.errors import InputError  # noqa: E402
from bnnopt.training.bounds import box, worst_scores  # noqa: E402
from bnnopt.training.model import TrainableNetwork  # noqa: E402

KINDS: list[dict[str, Any]] = [
    {"cuts": (127.5,)},
    {"cuts": (60.5, 127.5), "dead_zone": 0.03},
    {"cuts": (127.5,), "convolutions": ((3, 3, 2),)},
    {"cuts": (127.5,), "head": "batchnorm"},
    {"cuts": (127.5,), "head_range": 5},
    {"widths": (6, 5)},
    {"head": "batchnorm"},
]


def network(**changes: Any) -> TrainableNetwork:
    """Nine pixels, with norms that are no identity."""
    torch.manual_seed(4)
    options = {"widths": (7,), "head": "integer"} | changes
    model = TrainableNetwork(9, num_classes=4, **options)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        for value, (low, high) in {
            norm.weight: (-1.5, 1.5),
            norm.bias: (-0.5, 0.5),
            norm.running_mean: (-1, 1),
            norm.running_var: (0.5, 2),
        }.items():
            torch.nn.init.uniform_(value, low, high)
    if model.head == "integer":
        torch.nn.init.uniform_(model.bias, -2, 2)
    return model.eval()


def lead(model: TrainableNetwork, levels: Any, label: int) -> Any:
    scores = model(levels / 255)
    return scores - scores[:, [label]]


@pytest.mark.parametrize("changes", KINDS)
def test_no_image_of_the_box_is_worse(changes: dict[str, Any]) -> None:
    model = network(**changes)
    torch.manual_seed(0)
    image = torch.randint(0, 256, (1, 9)).float()
    radius = 40.0
    label = int(model(image / 255).argmax())
    with torch.no_grad():
        worst = worst_scores(model, *box(model, image, radius), torch.tensor([label]))
        steps = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=9)))
        found = lead(model, (image + radius * steps).clamp(0, 255), label)
    assert worst[0, label] == 0
    assert bool((found <= worst + 1e-4).all())


@pytest.mark.parametrize("changes", KINDS)
def test_in_a_box_of_no_size_they_are_the_scores(changes: dict[str, Any]) -> None:
    model = network(**changes)
    torch.manual_seed(1)
    images, labels = torch.randint(0, 256, (20, 9)).float(), torch.randint(0, 4, (20,))
    with torch.no_grad():
        worst = worst_scores(model, *box(model, images, 0.0), labels)
        scores = model(images / 255)
    expected = scores - scores.gather(1, labels[:, None])
    assert torch.allclose(worst, expected, atol=1e-4)


def test_with_one_neuron_they_are_reached() -> None:
    model = network(widths=(1,), cuts=(127.5,))
    image = torch.full((1, 9), 120.0)
    with torch.no_grad():
        worst = worst_scores(model, *box(model, image, 20.0), torch.tensor([0]))
        corners = torch.tensor(list(product((100.0, 140.0), repeat=9)))
        found = lead(model, corners, 0).max(0).values
    assert torch.allclose(worst[0], found, atol=1e-5)


def test_a_weight_of_bounds_needs_a_box() -> None:
    for robust in (None, 0):
        with pytest.raises(InputError, match="bound_weight needs an epsilon"):
            training.Recipe("mnist", 1, 10, input="binary", robust=robust, bound_weight=0.5)
    with pytest.raises(InputError, match="bound_weight must be in"):
        training.Recipe("mnist", 1, 10, input="binary", robust=0.1, bound_weight=1.5)
