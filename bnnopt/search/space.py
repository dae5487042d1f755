r"""Where the search over flips looks for points, and what flips are there.

*A box* around the image: a flip is that of one neuron.

*What an L1 budget B leaves of it*: a point is ``z = image + p - q``, where p and q, at least 0, are
how far each level goes up and down. They lie in a box again, of up to 2 n coordinates, and the
budget is one more row of weights 1: ``sum (p + q) <= B``. Over that box it is a neuron that every
flip set has; nothing else of the search changes (docs/search.md, "L1 budgets").

*Cuts*: where each unstable neuron looks at one pixel, the neurons of a pixel cut its levels into
intervals. A flip is the change to another interval than the image's; only those of one pixel
exclude each other, and budgets add up (docs/search.md, "Cuts").
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, hstack, vstack

from bnnopt.bounds import interval_bounds
from bnnopt.flips import Flips, flip_origin, pair_conflicts
from bnnopt.instance import AttackInstance
from bnnopt.network import GRID, HiddenLayer
from bnnopt.search.problem import Region
from bnnopt.search.region import free_region, region_of, sorted_flips

__all__ = [
    "BoxSpace",
    "BudgetSpace",
    "CutSpace",
    "Space",
    "has_cuts_only",
    "neuron_space",
    "space_of",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
SignArray = npt.NDArray[np.int8]

MOST_SHIFT = 0.5
"""Most of the way from a point to a random vertex that another one near it is."""


class Space(ABC):
    """The points of an instance, by coordinates u, and the flips between their patterns.

    Attributes
    ----------
    region : Region
        The rows of k flips, and further ones that every set has.
    neurons : array of int64, shape (unstable,)
        The unstable neurons of the first layer.
    origin : array of float, shape (width,)
        Activations of the first layer, ±1, where nothing has flipped.
    shift : csr_array, shape (rows, width)
        What each row adds to them where it is in a set.
    is_complete : bool
        Whether every unstable neuron can flip here; else sets are guesses, and prove nothing.
    """

    region: Region
    neurons: IntArray
    origin: FloatArray
    shift: csr_array
    is_complete: bool

    @abstractmethod
    def point(self, u: FloatArray) -> FloatArray:
        """The levels of a point, shape (n,)."""

    @abstractmethod
    def unit(self, z: FloatArray) -> FloatArray:
        """The coordinates of levels."""

    @abstractmethod
    def pattern(self, u: FloatArray) -> BoolArray:
        """The rows of the set that a point has, shape (rows,)."""

    @abstractmethod
    def found(self, flipped: BoolArray, u: FloatArray) -> FloatArray:
        """The coordinates of a point of a set, by what the kernel found."""

    @abstractmethod
    def distance(self, u: FloatArray) -> FloatArray:
        """How far each flip is from turning at a point, shape (k,)."""

    @abstractmethod
    def near(self, u: FloatArray, rng: np.random.Generator) -> FloatArray:
        """A random point that is not far from another."""

    @abstractmethod
    def pairs(self) -> BoolArray:
        """Which two rows cannot be in a set together, shape (rows, rows)."""

    @abstractmethod
    def refutes(self, signs: SignArray, multipliers: FloatArray) -> bool:
        """Whether multipliers of the unstable neurons prove that no point has their signs."""

    def signs(self, flipped: BoolArray) -> SignArray:
        """Of the unstable neurons, at the points of a set of rows."""
        activations = self.origin + flipped.astype(np.float64) @ self.shift
        return np.where(activations[self.neurons] > 0.0, 1, -1).astype(np.int8)


class _NeuronSpace(Space):
    """Where a flip is that of one neuron; points are some levels and radii times u in [-1, 1]^m.

    Parameters
    ----------
    instance : AttackInstance
    flips : Flips
        Of the instance.
    rows : Flips
        Those, and further rows that every set has.
    rate : float
        As for `Region`.
    """

    def __init__(
        self, instance: AttackInstance, flips: Flips, rows: Flips, rate: float = 0.0
    ) -> None:
        k, always = len(flips.neurons), len(rows.demand) - len(flips.neurons)
        self.instance, self.flips, self.rows = instance, flips, rows
        self.region = region_of(rows, always, rate)
        self.neurons = flips.neurons
        bounds = interval_bounds(instance)[0]
        self.is_complete = k == len(bounds.unstable)
        self.origin = _signs_at(instance, bounds.sign)
        self.origin[flips.neurons] = flips.signs
        turns = -2.0 * flips.signs.astype(np.float64)
        shape = (k + always, len(self.origin))
        self.shift = csr_array((turns, (np.arange(k), flips.neurons)), shape=shape)

    def pattern(self, u: FloatArray) -> BoolArray:
        """The neurons that have flipped there, and the rows of every set."""
        signs = self.instance.network.hidden[0](self.point(u)[None])[0]
        flipped = signs[self.neurons] != self.flips.signs
        return np.append(flipped, np.ones(self.region.always, dtype=bool))

    def found(self, flipped: BoolArray, u: FloatArray) -> FloatArray:
        """Those that the kernel gives."""
        return u

    def distance(self, u: FloatArray) -> FloatArray:
        """Levels between each neuron's sum and its threshold."""
        falls = self.region.weight @ (self.region.radius * u)
        return np.abs(falls + self.region.demand)[: len(self.neurons)]

    def near(self, u: FloatArray, rng: np.random.Generator) -> FloatArray:
        """A point some way to a random vertex."""
        vertex = rng.choice([-1.0, 1.0], len(u))
        return self._inside(u + rng.uniform(0.0, MOST_SHIFT) * (vertex - u))

    def _inside(self, u: FloatArray) -> FloatArray:
        """A point of the space near one of the box."""
        return u

    def pairs(self) -> BoolArray:
        """By the closed form of `bnnopt.flips`."""
        return pair_conflicts(self.rows)

    def refutes(self, signs: SignArray, multipliers: FloatArray) -> bool:
        """Whether the rows times the multipliers need more than the space has."""
        return self._refutes(signs != self.flips.signs, multipliers)

    def _refutes(self, flipped: BoolArray, multipliers: FloatArray) -> bool:
        return self.rows.refutes(flipped, multipliers)


class BoxSpace(_NeuronSpace):
    """The points of the box: ``centre + radius * u`` for the m levels that can move.

    Parameters
    ----------
    instance : AttackInstance
    most : int, optional
        Most flips; the easiest ones.
    """

    def __init__(self, instance: AttackInstance, most: int | None = None) -> None:
        low, high = instance.box
        self._centre, self._moving = (low + high) / 2.0, np.flatnonzero(high > low)
        flips = sorted_flips(instance, most)
        super().__init__(instance, flips, flips)

    def point(self, u: FloatArray) -> FloatArray:
        """The levels of a point, shape (m,) to (n,)."""
        z = self._centre.copy()
        z[self._moving] += self.region.radius * u
        return z

    def unit(self, z: FloatArray) -> FloatArray:
        """What `point` takes for these levels."""
        return np.asarray((z - self._centre)[self._moving] / self.region.radius)


class BudgetSpace(_NeuronSpace):
    """Points of a box within an L1 budget; see above.

    Parameters
    ----------
    instance : AttackInstance
    most : int, optional
        Most flips; the easiest ones.
    """

    def __init__(self, instance: AttackInstance, most: int | None = None) -> None:
        low, high = instance.box
        self._image, self._budget = instance.levels, instance.l1_levels
        up, down = high - instance.levels, instance.levels - low
        self._up, self._down = np.flatnonzero(up > 0), np.flatnonzero(down > 0)
        radius, flips = np.concatenate([up, down]) / 2.0, sorted_flips(instance, most)
        least = float(radius.sum()) - self._budget  # that the sum must fall from the centre
        rows = Flips(
            np.append(flips.neurons, -1),
            np.append(flips.signs, np.int8(1)),
            _with_budget(flips.weight),
            np.append(flips.demand, least),
            np.append(flips.stay_demand, least),
            radius,
        )
        # The best multiplier of the budget's row is where the levels that sums of so many signs
        # use most are paid for: a quantile of the normal distribution.
        from scipy.special import ndtri  # slow to import, and a box needs none

        share = min(self._budget / radius.sum(), 1.0)
        super().__init__(instance, flips, rows, float(ndtri(1.0 - share / 2.0)))

    def point(self, u: FloatArray) -> FloatArray:
        """The levels of a point, shape (m,) to (n,)."""
        z, moved = self._image.copy(), self.region.radius * (1.0 + u)
        z[self._up] += moved[: len(self._up)]
        z[self._down] -= moved[len(self._up) :]
        return z

    def unit(self, z: FloatArray) -> FloatArray:
        """What `point` takes for these levels."""
        change = z - self._image
        moved = np.concatenate([change[self._up], -change[self._down]])
        return np.asarray(np.maximum(moved, 0.0) / self.region.radius - 1.0)

    def _inside(self, u: FloatArray) -> FloatArray:
        change = self.point(u) - self._image
        share = self._budget / max(float(np.abs(change).sum()), 1e-9)
        return self.unit(self._image + min(share, 1.0) * change)

    def _refutes(self, flipped: BoolArray, multipliers: FloatArray) -> bool:
        """The budget's own multiplier is the pull of the last level that the budget pays for."""
        signed = np.where(flipped, multipliers, -multipliers)
        pull = -(signed @ self.rows.weight[:-1])
        order = np.argsort(-pull)
        paid = np.cumsum(2.0 * self.rows.radius[order])
        last = int(np.searchsorted(paid, self._budget))
        price = max(float(pull[order][min(last, len(pull) - 1)]), 0.0)
        return self.rows.refutes(np.append(flipped, True), np.append(multipliers, price))


def _with_budget(weight: FloatArray | csr_array) -> FloatArray | csr_array:
    """Rows over ways up and ways down, and the budget's."""
    ones = np.ones((1, 2 * weight.shape[1]))
    if isinstance(weight, np.ndarray):
        return np.vstack([np.hstack([weight, -weight]), ones])
    return csr_array(vstack([hstack([weight, -weight]), csr_array(ones)]))


class CutSpace(Space):
    """Points by the interval of each pixel; a coordinate is 1 where a flip is made, else 0.

    Intervals end at whole numbers of grid steps, so that nothing here is rounded: `step` says how
    many make a level, and `pixel`, shape (k,), has the pixel of each flip.

    Parameters
    ----------
    instance : AttackInstance
        Each unstable neuron of its first layer looks at one pixel.
    most : int, optional
        Most flips; those for which a pixel moves least.
    """

    def __init__(self, instance: AttackInstance, most: int | None = None) -> None:
        layer = instance.network.hidden[0]
        self.neurons = interval_bounds(instance)[0].unstable
        self.step = GRID if instance.domain == "continuous" else 1.0
        self._image = _whole(instance.levels * self.step)
        pixel, turning = _turning_points(layer, self.neurons, self.step)
        # A flip for each point where neurons turn: to the interval that begins there, or, where
        # that is not above the image, to the one that ends there.
        (self.pixel, self._begin), which = np.unique(
            np.stack([pixel, turning]), axis=1, return_inverse=True
        )
        self._rises = self._begin > self._image[self.pixel]
        self._low, self._high = self._intervals(instance)
        self._level = np.where(self._rises, self._begin, self._begin - 1)
        self.origin = layer(instance.levels[None])[0]
        shift = self._shift_of(pixel, self._begin[which.ravel()])
        self.shift = self._keep_nearest(shift, most)
        self._excludes = self.pixel[:, None] == self.pixel
        np.fill_diagonal(self._excludes, False)
        self._cost, self._most = self._budgets(instance)
        self.region = free_region(self._excludes, self._cost, self._most)

    def _intervals(self, instance: AttackInstance) -> tuple[IntArray, IntArray]:
        """The first and the last step of where each flip leads."""
        least, most = (_whole(bound * self.step)[self.pixel] for bound in instance.box)
        same = np.diff(self.pixel) == 0
        after = np.append(np.where(same, self._begin[1:] - 1, most[:-1]), most[-1:])
        before = np.append(least[:1], np.where(same, self._begin[:-1], least[1:]))
        first = np.where(self._rises, self._begin, before)
        return first, np.where(self._rises, after, self._begin - 1)

    def _keep_nearest(self, shift: csr_array, most: int | None) -> csr_array:
        """Drop the flips beyond the number allowed, of all that is known of them."""
        self.is_complete = most is None or len(self._level) <= most
        if self.is_complete:
            return shift
        moved = np.abs(self._level - self._image[self.pixel])
        kept = np.sort(np.argsort(moved, kind="stable")[:most])
        for name in ("pixel", "_begin", "_rises", "_low", "_high", "_level"):
            setattr(self, name, getattr(self, name)[kept])
        return csr_array(shift[kept])

    def _shift_of(self, pixel: IntArray, turning: IntArray) -> csr_array:
        """A flip turns the neurons of its pixel that turn between the image and its interval."""
        size, k, n = len(self.origin), len(self.pixel), len(self._image)
        flips = csr_array((np.ones(k), (np.arange(k), self.pixel)), shape=(k, n))
        rows = csr_array(
            (np.ones(len(pixel)), (np.arange(len(pixel)), pixel)), shape=(len(pixel), n)
        )
        i, j = (flips @ rows.T).nonzero()
        image, begin = self._image[self.pixel[i]], self._begin[i]
        above = self._rises[i] & (image < turning[j]) & (turning[j] <= begin)
        below = ~self._rises[i] & (begin <= turning[j]) & (turning[j] <= image)
        turns = above | below
        neurons = self.neurons[j[turns]]
        return csr_array((-2.0 * self.origin[neurons], (i[turns], neurons)), shape=(k, size))

    def _budgets(self, instance: AttackInstance) -> tuple[FloatArray, FloatArray]:
        """What each flip costs at least, and what there is: steps, pixels."""
        cost: list[FloatArray] = []
        most: list[float] = []
        if np.isfinite(instance.l1_levels):
            steps = np.abs(self._level - self._image[self.pixel])
            cost, most = (
                [steps.astype(np.float64)],
                [float(np.floor(instance.l1_levels * self.step))],
            )
        if instance.max_pixels is not None:
            cost, most = [*cost, np.ones(len(self._level))], [*most, float(instance.max_pixels)]
        rows = np.array(cost).reshape(len(most), len(self._level))
        return np.ascontiguousarray(rows.T), np.array(most)

    def point(self, u: FloatArray) -> FloatArray:
        """The levels of a point, shape (k,) to (n,): each pixel moves as little as it must."""
        z, flipped = self._image.copy(), u > 0.5
        z[self.pixel[flipped]] = self._level[flipped]
        return np.asarray(z / self.step)

    def unit(self, z: FloatArray) -> FloatArray:
        """What `point` takes for levels of the same pattern."""
        steps = _whole(z * self.step)[self.pixel]
        return np.asarray(((steps >= self._low) & (steps <= self._high)).astype(np.float64))

    def pattern(self, u: FloatArray) -> BoolArray:
        """The flips that are made."""
        return u > 0.5

    def found(self, flipped: BoolArray, u: FloatArray) -> FloatArray:
        """A set says it all."""
        return flipped.astype(np.float64)

    def distance(self, u: FloatArray) -> FloatArray:
        """No flip is nearer than another."""
        return np.ones(len(self.pixel))

    def near(self, u: FloatArray, rng: np.random.Generator) -> FloatArray:
        """The set of a point with some flips made or taken back at random."""
        changed = (u > 0.5) ^ (rng.random(len(u)) < rng.uniform(0.0, MOST_SHIFT / 2.0))
        chosen = rng.permutation(np.flatnonzero(changed))
        _, first = np.unique(self.pixel[chosen], return_index=True)
        chosen = chosen[np.sort(first)]  # one flip a pixel
        paid = np.all(np.cumsum(self._cost[chosen], axis=0) <= self._most, axis=1)
        near = np.zeros(len(u))
        near[chosen[paid]] = 1.0
        return near

    def pairs(self) -> BoolArray:
        """Those of one pixel."""
        return np.asarray(self._excludes)

    def refutes(self, signs: SignArray, multipliers: FloatArray) -> bool:
        """Never: sets without a point are no sets here, but for what the grid rounds away."""
        return False


def _turning_points(
    layer: HiddenLayer, neurons: IntArray, step: float
) -> tuple[IntArray, IntArray]:
    """The pixel of each neuron, and the first whole step from which on it has its upper sign."""
    rows = layer.rows(neurons)
    weight, threshold = rows.data.astype(np.int64), layer.threshold[neurons] * int(step)
    size = np.abs(weight)
    # weight > 0: on from ceil(T / w); weight < 0: on up to floor(-T / |w|).
    turning = np.where(weight > 0, -(-threshold // size), -threshold // size + 1)
    return rows.indices.astype(np.int64), turning


def _whole(steps: FloatArray) -> IntArray:
    return np.asarray(np.round(steps).astype(np.int64))


def has_cuts_only(instance: AttackInstance) -> bool:
    """Whether each unstable neuron of the first layer looks at one pixel."""
    unstable = interval_bounds(instance)[0].unstable
    layer = instance.network.hidden[0]
    if len(unstable) and layer.is_dense and layer.shape[1] > 1:
        return False
    return bool(np.all(np.diff(layer.rows(unstable).indptr) == 1))


def space_of(instance: AttackInstance, most: int | None = None) -> Space:
    """The cuts where there are such only; else a box, or what an L1 budget leaves of it.

    Parameters
    ----------
    instance : AttackInstance
    most : int, optional
        Most flips; it is not complete if there are more.
    """
    return CutSpace(instance, most) if has_cuts_only(instance) else neuron_space(instance, most)


def neuron_space(instance: AttackInstance, most: int | None = None) -> BoxSpace | BudgetSpace:
    """A box, or what an L1 budget leaves of it."""
    is_whole = bool(instance.reach.sum() <= instance.l1_levels)
    return BoxSpace(instance, most) if is_whole else BudgetSpace(instance, most)


def _signs_at(instance: AttackInstance, stable: SignArray) -> FloatArray:
    """Activations of the first layer at the origin of a neuron's space."""
    if (stable != 0).all():
        return stable.astype(np.float64)
    return np.asarray(instance.network.hidden[0](flip_origin(instance)[None])[0])
