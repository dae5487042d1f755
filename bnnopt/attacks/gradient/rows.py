"""Boxes, budgets and objectives of a batch of instances and restarts, as tensors; torch only.

A *row* is one restart of one instance; the rows of an instance follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bnnopt.instance import AttackInstance
from bnnopt.row_units import layer_units

__all__ = ["Rows"]

FloatArray = npt.NDArray[np.float64]

LIKELY = 3
"""Classes with the largest logits, other than the source's."""


class Rows:
    """The instances of a batch, each repeated once a restart.

    Parameters
    ----------
    instances : sequence of AttackInstance
        Of one network and domain.
    total : int
        Restarts an instance, those that are in other batches among them.
    device : torch.device
    dtype : torch.dtype
    numbers : slice, optional
        Which restarts are here; all if not given.

    Attributes
    ----------
    restarts : int
        Rows an instance.
    seek_any_flip : bool
        Whether any flip at all ends the work on each instance.
    levels, low, high, width : Tensor, shape (rows, n)
        The images, their boxes, and ``high - low``.
    """

    def __init__(
        self,
        instances: Sequence[AttackInstance],
        total: int,
        device: torch.device,
        dtype: torch.dtype,
        numbers: slice = slice(None),
    ) -> None:
        self.instances, self.total, self.numbers = tuple(instances), total, numbers
        self.restarts = len(range(total)[numbers])
        self.seek_any_flip = not any(instance.sought.stages for instance in instances)
        self.network = instances[0].network
        self._device, self._dtype = device, dtype
        self.levels = self._repeat([i.levels for i in instances])
        self.low = self._repeat([i.point_box[0] for i in instances])
        self.high = self._repeat([i.point_box[1] for i in instances])
        self.width = self.high - self.low
        self._source = self._repeat([[i.source] for i in instances]).long()
        classes = range(self.network.num_classes)
        excluded = [[c not in i.targets for c in classes] for i in instances]
        self._excluded = self._repeat(excluded).bool()
        self._unpursued = self._excluded
        self._is_whole = instances[0].domain == "pixels"
        self._is_box = all(i.is_box for i in instances)
        most = [np.inf if i.max_pixels is None else i.max_pixels for i in instances]
        self._max_pixels = self._repeat([[pixels] for pixels in most])
        self._max_l1 = self._repeat([[i.l1_point_levels] for i in instances])

    def _repeat(self, values: npt.ArrayLike) -> Tensor:
        rows = torch.from_numpy(np.asarray(values, dtype=np.float64)).to(self._device, self._dtype)
        return rows.repeat_interleave(self.restarts, dim=0)

    def scattered(self, seed: int) -> Tensor:
        """Corners of the box and uniform points in turn, shape (rows, n).

        The draws are the same for each instance of any batch.
        """
        generator = torch.Generator().manual_seed(seed)
        share = torch.rand((self.total, self.width.shape[1]), generator=generator)
        share[::2] = share[::2].round()
        share = share[self.numbers]
        return self.low + self.width * share.to(self.levels).repeat(len(self.instances), 1)

    def begin(self, starts: Sequence[FloatArray], others: Tensor) -> Tensor:
        """`others`, shape (rows, n), with each instance's image and `starts` as first restarts."""
        z = others.clone()
        for at, (instance, points) in enumerate(zip(self.instances, starts, strict=True)):
            known = np.vstack([instance.levels, points])[self.numbers]
            first = at * self.restarts
            z[first : first + len(known)] = torch.from_numpy(known).to(z)
        return z

    def reach(self) -> Tensor:
        """How far the box moves first-layer sums on average, in row units, shape (rows, 1)."""
        layer = self.network.hidden[0]
        units = layer_units(layer)
        boxes = (instance.point_box for instance in self.instances)
        means = [[np.mean(layer.spread((high - low) / 2.0) / units)] for low, high in boxes]
        return self._repeat(means)

    def vertices(self, directions: Tensor) -> Tensor:
        """The ends of the box in the directions' signs; the image's own level where that is 0."""
        there = torch.where(directions > 0, self.high, self.levels)
        return torch.where(directions < 0, self.low, there)

    def step(self, z: Tensor, directions: Tensor, rate: float) -> Tensor:
        """From `z` by `rate` times the box's width in the directions' signs, within the box."""
        moved = torch.addcmul(z, self.width, directions.sign(), value=rate)
        return moved.clamp_(self.low, self.high)

    def admissible(self, z: Tensor, gains: Tensor) -> Tensor:
        """Points of the budget near `z`, which lies in the box, both of shape (rows, n).

        Whole levels in the pixel domain; budgets on the number or the sum of changes are spent
        on the pixels of the largest absolute `gains`, shape (rows, n).
        """
        if self._is_whole:
            z = z.round()
        return z if self._is_box else self.levels + self._spend(z - self.levels, gains.abs())

    def _spend(self, change: Tensor, gains: Tensor) -> Tensor:
        order = gains.masked_fill(change == 0, -torch.inf).argsort(
            stable=True, dim=1, descending=True
        )
        size = change.abs().gather(1, order)
        paid = torch.minimum(size, (self._max_l1 - (size.cumsum(1) - size)).clamp_min(0.0))
        if self._is_whole:
            paid = paid.floor()
        paid *= torch.arange(change.shape[1], device=self._device) < self._max_pixels
        return change.sign() * torch.zeros_like(change).scatter_(1, order, paid)

    def spread_targets(self) -> None:
        """Let every second row pursue one of the `LIKELY` targets alone, in turn.

        The best target is what counts, but its gradient may never leave the class that is best
        at the start.
        """
        self._unpursued = self._excluded.clone()
        for number, instance in enumerate(self.instances):
            likely = sorted(instance.targets, key=lambda c: -instance.logits[c])[:LIKELY]
            for at, restart in enumerate(range(self.total)[self.numbers]):
                if restart % 2:
                    row = number * self.restarts + at
                    self._unpursued[row] = True
                    self._unpursued[row, likely[restart // 2 % len(likely)]] = False

    def margins(self, logits: Tensor) -> Tensor:
        """Margins of the best target, shape (rows, C) to (rows,)."""
        return self._margins(logits, self._excluded)

    def pursued(self, logits: Tensor) -> Tensor:
        """What each row ascends, shape (rows, C) to (rows,): the margin of what it pursues."""
        return self._margins(logits, self._unpursued)

    def _margins(self, logits: Tensor, excluded: Tensor) -> Tensor:
        best = logits.masked_fill(excluded, -torch.inf).amax(dim=1)
        return best - logits.gather(1, self._source)[:, 0]
