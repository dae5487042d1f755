from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import bnnopt
from bnnopt import AttackInstance, Status
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Limits
from bnnopt.attacks.gradient import (
    FgsmAttack,
    GradientAttack,
    IteratedFgsmAttack,
    PgdAttack,
    base,
)
from bnnopt.attacks.gradient.rows import Rows
from bnnopt.errors import InputError
from bnnopt.surrogate import HardTanh, StraightThroughNetwork, layer_scales
from tests.helpers import best_pixel_margin, random_image, random_network

METHODS = ["fgsm", "ifgsm", "pgd"]
BUDGETS: dict[str, dict[str, Any]] = {
    "box": {},
    "mask": {"mask": [1, 1, 0, 1, 0, 1]},
    "lighten": {"direction": "lighten"},
    "darken": {"direction": "darken"},
    "two pixels": {"max_pixels": 2},
    "sum": {"max_l1": 0.5},
    "sum of two": {"max_pixels": 2, "max_l1": 0.4},
}


def tiny(seed: int, depth: int = 2, **problem: Any) -> AttackInstance:
    network = random_network(seed, inputs=6, widths=(6,) * depth)
    return AttackInstance(network, random_image(network, seed), **({"epsilon": 0.3} | problem))


def real(count: int, **problem: Any) -> list[AttackInstance]:
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    data = bnnopt.datasets.embedded()
    return [
        AttackInstance(network, data.x(k), **({"epsilon": 0.01} | problem)) for k in range(count)
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("domain", ["continuous", "pixels"])
def test_every_point_is_within_the_budget_and_replayed(
    method: str, budget: str, domain: str
) -> None:
    for seed in range(2):
        instance = tiny(seed, 1 + 2 * seed, domain=domain, target="untargeted", **BUDGETS[budget])
        result = attack_class(method)()(instance, Limits(0.2))
        assert result.status is Status.FEASIBLE
        assert result.bound is None
        assert result.verified
        assert instance.admits(result.adversarial.ravel())
        assert result.objective >= result.start_objective


def test_pgd_reaches_nearly_every_optimum_of_enumeration() -> None:
    reached = 0
    for seed in range(15):
        instance = tiny(seed, 1 + seed % 3, domain="pixels", target="untargeted")
        best, found = best_pixel_margin(instance), PgdAttack(20, 50)(instance).objective
        assert found <= best
        reached += found == best
    assert reached >= 13


def test_pgd_spends_a_budget_of_pixels_on_the_best_of_them() -> None:
    reached = 0
    for seed in range(10):
        instance = tiny(seed, domain="pixels", epsilon=1.0, max_pixels=1)
        singles = [instance.levels]
        for pixel in range(6):
            for level in range(instance.network.levels + 1):
                singles.append(instance.levels.copy())
                singles[-1][pixel] = level
        reached += (
            PgdAttack(20, 50)(instance).objective == instance.margins(np.array(singles)).max()
        )
    assert reached >= 8


def test_fgsm_goes_to_the_corner_that_the_surrogates_gradient_points_to() -> None:
    instance = real(1)[0]
    network = instance.network
    model = StraightThroughNetwork(network, HardTanh(layer_scales(network)))
    x = torch.tensor(instance.image.reshape(1, -1), requires_grad=True)
    logits = model(x)[0]
    (logits[instance.targets[0]] - logits[instance.source]).backward()
    assert x.grad is not None
    slope = x.grad[0].numpy()
    low, high = instance.point_box
    there = np.where(slope > 0, high, np.where(slope < 0, low, instance.levels))
    (found,) = FgsmAttack().run(instance, Limits(), np.zeros((0, 784))).points
    # The attack runs in float32, which may turn the sign of a slope next to 0.
    assert np.mean(np.abs(found - there) < 1e-4) > 0.99


def test_iterated_fgsm_improves_on_one_step_and_stops_at_its_cap() -> None:
    instances = real(10)
    once = [FgsmAttack()(instance).objective for instance in instances]
    many = IteratedFgsmAttack(60).batch(instances)
    assert np.mean([result.objective for result in many]) > np.mean(once)
    assert {result.iterations for result in many} == {60}


def test_pgd_is_stronger_than_iterated_fgsm() -> None:
    instances = real(10)
    iterated = [r.objective for r in IteratedFgsmAttack(60).batch(instances)]
    ours = [r.objective for r in PgdAttack(10, 50).batch(instances)]
    assert np.mean(ours) > np.mean(iterated) + 4.0
    assert np.mean(np.array(ours) >= iterated) >= 0.9


@pytest.mark.parametrize("method", METHODS)
def test_incumbents_only_get_better(method: str) -> None:
    result = attack_class(method)()(real(2)[1], Limits(1.0))
    times, values = zip(*result.trace, strict=True)
    assert list(values) == sorted(set(values))
    assert list(times) == sorted(times)
    assert values[-1] == result.objective


def test_the_same_seed_gives_the_same_points_and_another_seed_others() -> None:
    instance = real(1)[0]
    attack = PgdAttack(4, 10)
    points = [attack.run(instance, Limits(seed=s), np.zeros((0, 784))).points for s in (1, 1, 2)]
    assert np.array_equal(points[0], points[1])
    assert not np.array_equal(points[0], points[2])


def test_restarts_are_the_image_then_corners_and_points_of_the_box_in_any_batch() -> None:
    instances = real(3)
    batch = Rows(instances, 4, torch.device("cpu"), torch.float64)
    alone = Rows(instances[2:], 4, torch.device("cpu"), torch.float64)
    z = batch.begin([np.zeros((0, 784))] * 3, batch.scattered(seed=5))
    assert torch.equal(batch.scattered(seed=5)[8:], alone.scattered(seed=5))
    assert torch.equal(z[8], torch.from_numpy(instances[2].levels))
    is_end = (z == batch.low) | (z == batch.high)
    assert is_end[10].all()
    assert not is_end[9].all()
    assert bool(((z >= batch.low) & (z <= batch.high)).all())


def test_restarts_in_groups_are_those_of_one_batch() -> None:
    instances = real(2, target="untargeted", goal="flip")
    whole = Rows(instances, 6, torch.device("cpu"), torch.float64)
    logits = torch.from_numpy(np.stack([i.logits for i in instances for _ in range(6)]))
    starts = [instance.levels[None] + 1.0 for instance in instances]
    begun, clips = whole.begin(starts, whole.scattered(3)), PgdAttack().activation(whole).clip
    whole.spread_targets()
    for numbers in (slice(0, 1), slice(1, 4), slice(4, 6)):
        part = Rows(instances, 6, torch.device("cpu"), torch.float64, numbers)
        rows = [at * 6 + number for at in range(2) for number in range(6)[numbers]]
        part.spread_targets()
        assert torch.equal(part.begin(starts, part.scattered(3)), begun[rows])
        assert torch.equal(part.pursued(logits[rows]), whole.pursued(logits)[rows])
        assert torch.equal(PgdAttack().activation(part).clip, clips[rows])


def test_few_restarts_come_first_where_any_flip_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "CHEAP", 0)
    nothing = np.zeros((0, 784))
    safe, flips = real(1, epsilon=1e-6, goal="flip")[0], real(1, epsilon=0.1, goal="flip")[0]
    attack = PgdAttack(5, 3)
    found = attack.run(safe, Limits(), nothing)
    assert found.iterations == 3 * 4  # groups of 1, 3 and 1; a step ends with an evaluation
    assert len(found.points) == 3
    both = attack.batch([safe, flips])
    assert [result.flipped for result in both] == [False, True]
    assert both[0].iterations == 12
    assert both[1].iterations < 12
    assert attack.run(replace(safe, goal="margin"), Limits(), nothing).iterations == 4


def test_the_groups_of_a_run_without_a_flip_share_its_effort(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base, "CHEAP", 0)
    safe = real(1, epsilon=1e-6, goal="flip")[0]
    found = PgdAttack(5, 3).run(safe, Limits(effort=6), np.zeros((0, 784)))
    assert found.iterations == 6
    values = [value for _, value in found.trace]
    assert values == sorted(set(values))


def test_the_boxs_reach_is_the_mean_over_the_first_layer() -> None:
    instances = [tiny(seed, epsilon=0.2 * (1 + seed)) for seed in (0, 0)]
    rows = Rows(instances, 2, torch.device("cpu"), torch.float64)
    low, high = instances[0].point_box
    assert rows.reach().tolist() == [[pytest.approx((high - low).sum() / 2.0)]] * 4


@pytest.mark.parametrize("attack", [FgsmAttack(), IteratedFgsmAttack(1), PgdAttack(3, 1)])
def test_starts_are_restarts_more_than_asked_for_if_need_be(attack: GradientAttack) -> None:
    instance = real(1)[0]
    low, high = instance.point_box
    starts = np.array([instance.snap(low + share * (high - low)) for share in (0.1, 0.5, 0.9)])
    found = attack.run(instance, Limits(), starts)
    assert len(found.points) == 4
    if isinstance(attack, IteratedFgsmAttack):
        moved = np.abs(found.points[1:] - starts).max(axis=1)
        assert np.all(moved <= 0.05 * (high - low).max() + 1e-4)
    result = attack(instance, starts=starts)
    assert result.objective >= instance.margins(starts).max()


def test_another_method_begins_where_a_gradient_attack_ends() -> None:
    instance = real(2)[1]
    alone = bnnopt.attack(instance.network, instance.image, 0.01, method="pgd", time_limit=5)
    begun = bnnopt.attack(
        instance.network, instance.image, 0.01, method="fgsm", start="pgd", time_limit=10
    )
    assert begun.objective >= alone.objective > alone.start_objective


def test_a_flip_ends_the_attack_that_asks_for_any() -> None:
    instance = real(3, epsilon=0.03, goal="flip")[0]
    attack = PgdAttack(4, 10_000)
    result = attack(instance, Limits(20.0))
    assert result.flipped
    assert result.iterations is not None
    assert result.iterations < 10_000


def test_goals_with_distances_get_points_nearer_than_the_box_allows() -> None:
    instance = real(1, epsilon=0.1, goal="linf")[0]
    result = PgdAttack(8, 40)(instance)
    assert result.flipped
    assert result.distances["linf"] < 0.09


def test_every_second_row_of_an_untargeted_attack_pursues_a_target_of_its_own() -> None:
    (instance,) = real(1, target="untargeted")
    rows = Rows([instance], 6, torch.device("cpu"), torch.float64)
    logits = torch.from_numpy(instance.logits).repeat(6, 1)
    ranked = sorted(instance.targets, key=lambda c: -instance.logits[c])
    rows.spread_targets()
    own = [instance.logits[c] - instance.logits[instance.source] for c in ranked]
    assert rows.pursued(logits).tolist() == [own[0], own[0], own[0], own[1], own[0], own[2]]
    assert rows.margins(logits).tolist() == [own[0]] * 6


@pytest.mark.parametrize("method", METHODS)
def test_epsilon_zero_leaves_the_image(method: str) -> None:
    instance = tiny(3, epsilon=0.0)
    result = attack_class(method)()(instance, Limits(5.0))
    assert np.array_equal(result.adversarial.ravel(), instance.image.ravel())
    assert result.objective == result.start_objective


@pytest.mark.parametrize("attack", [IteratedFgsmAttack(10**6), PgdAttack(4, 10**6)])
def test_the_time_limit_ends_an_attack_with_what_it_has(attack: GradientAttack) -> None:
    result = attack(real(2)[1], Limits(0.4))
    assert result.verified
    assert result.iterations is not None
    assert 1 < result.iterations < 10**6
    assert not result.interrupted


def test_ctrl_c_keeps_the_incumbents() -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    result = PgdAttack(4, 10**6)(real(2)[1], Limits(60.0))
    timer.join()
    assert result.interrupted
    assert result.objective > result.start_objective


def test_a_batch_gives_a_record_an_image() -> None:
    data = bnnopt.datasets.embedded()
    indices = [0, 1, 2]
    results = bnnopt.attack_images(
        "fashion-mnist-2x100",
        [data.x(k) for k in indices],
        0.01,
        method="pgd",
        target="untargeted",
        indices=indices,
        labels=data.labels[indices].tolist(),
    )
    assert [r.image for r in results] == indices
    assert all(r.verified and r.method == "pgd" and "torch" in r.versions for r in results)
    assert len(bnnopt.attack_images("fashion-mnist-2x100", np.zeros((0, 784)), method="pgd")) == 0


def test_a_wrong_batch_is_refused_in_one_sentence() -> None:
    images = np.zeros((2, 784))
    name = "fashion-mnist-2x100"
    with pytest.raises(InputError, match="device is for pgd, ifgsm and fgsm"):
        bnnopt.attack_images(name, images, method="milp", device="cuda")
    with pytest.raises(InputError, match="leave out workers"):
        bnnopt.attack_images(name, images, method="pgd", workers=2)
    with pytest.raises(InputError, match="no device 'abacus' here"):
        bnnopt.attack_images(name, images, method="pgd", device="abacus")
    with pytest.raises(InputError, match="labels has 1 entries: give 2"):
        bnnopt.attack_images(name, images, labels=[3])
    with pytest.raises(InputError, match="one network and one domain"):
        PgdAttack().batch([tiny(1), tiny(2)])
    with pytest.raises(InputError, match="restarts must be a whole number, at least 1"):
        PgdAttack(restarts=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_points_as_good_as_the_cpus() -> None:
    instances = real(10)
    means = [
        np.mean([r.objective for r in PgdAttack(10, 50, device).batch(instances)])
        for device in ("cpu", "cuda")
    ]
    assert means[1] == pytest.approx(means[0], abs=4.0)


def test_without_torch_a_gradient_attack_names_the_remedy() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from bnnopt.cli import main\n"
        "sys.argv = ['bnnopt', 'attack', 'fashion-mnist-2x100', '--images', '0', "
        "'--method', 'pgd']\n"
        "main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.strip().splitlines()[-1] == (
        "bnnopt: a gradient attack needs torch, which is not installed: pip install 'bnnopt[torch]'"
    )
