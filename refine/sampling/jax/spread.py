"""Replicas, and states of a study, over the devices of one machine.

A block of dynamics is then one program on all of them (`jax.shard_map`): each device moves its share of the replicas,
and all of them agree at every step whether the neighbour lists are rebuilt, so that lists, and with them the order of
every sum, are those of a single device. Nothing else goes from one device to another, nothing goes through the host
within a block, and states and frames come back whole.

Devices that the replicas of one state leave free are for the next states, as far as they suffice: programs of their
own, which know nothing of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from refine.errors import InputError
from refine.sampling.jax.lists import ListShape

AXIS = "replicas"
"""Name of the axis of devices in programs."""

EACH, ALL, LATER = PartitionSpec(AXIS), PartitionSpec(), PartitionSpec(None, AXIS)
"""How an array lies on devices: its first axis is that of replicas, it is the same everywhere, its second axis is."""


def devices_for(asked: int) -> tuple[jax.Device, ...]:
    """Those that replicas are spread over. asked: how many; 0: all of an accelerator, one of processors.

    InputError where there are not so many.
    """
    present = tuple(jax.local_devices())
    if asked > len(present):
        raise InputError(
            f"{asked} devices were asked for, and jax has {len(present)} ({present[0].platform})",
            where="[sampling] devices",
            fix="leave it out" if present[0].platform == "cpu" else f"use {len(present)} or fewer",
        )
    if asked == 0:
        return present[:1] if present[0].platform == "cpu" else present
    return present[:asked]


@dataclass(frozen=True)
class Spread:
    """A number of replicas over devices, as evenly as they divide.

    replicas: how many.  devices: on which; those that would have nothing to do are left out.
    turn: number of the state among several. States 0, 1, ... have as many devices each, one behind the other's, until
    there are no more, and then begin with the first ones again.

    Where the last device has fewer than the others, copies of the last replica fill it up: they do what it does, cost
    no time, and never come back.
    """

    replicas: int
    devices: tuple[jax.Device, ...]
    turn: int = 0

    @property
    def share(self) -> int:
        """Replicas of each device."""
        return math.ceil(self.replicas / len(self.devices))

    @property
    def used(self) -> tuple[jax.Device, ...]:
        """Devices that have a share."""
        first = self.lane * self._width
        return self.devices[first : first + self._width]

    @property
    def lane(self) -> int:
        """Which of the groups of devices that states take these are; groups share none."""
        return self.turn % max(1, len(self.devices) // self._width)

    @property
    def home(self) -> jax.Device | None:
        """Where arrays are made that every used device has; None: where jax makes them anyway."""
        return self.used[0] if self.lane else None

    @property
    def _width(self) -> int:
        return math.ceil(self.replicas / self.share)

    @property
    def several(self) -> bool:
        """Whether there is anything to spread."""
        return len(self.used) > 1

    @cached_property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.used), (AXIS,))

    def put(self, tree: Any) -> Any:
        """Arrays (R, ...) of the host as new ones on the devices."""
        if not self.several:
            return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)
        order = np.minimum(np.arange(self.share * len(self.used)), self.replicas - 1)
        sharding = NamedSharding(self._mesh, EACH)
        return jax.tree.map(lambda x: jax.device_put(np.asarray(x)[order], sharding), tree)

    def whole(self, tree: Any, axis: int = 0) -> Any:
        """Arrays of the host without the copies; axis: of replicas."""
        index = (slice(None),) * axis + (slice(self.replicas),)
        return jax.tree.map(lambda x: x[index], tree)

    def program(
        self, make: Callable[[ListShape], Callable[..., Any]], first: Any, result: Any
    ) -> Callable[[ListShape], Callable[..., Any]]:
        """A maker of programs of all replicas from a maker of those of a share.

        first, result: how the first argument and the result lie on devices, trees of `EACH`, `ALL` and `LATER`; all
        other arguments are the same everywhere.
        """
        if not self.several:
            return make

        def spread(shape: ListShape) -> Callable[..., Any]:
            program = make(shape)

            def on_all(of_replicas: Any, *same: Any) -> Any:
                specs = (first, *(ALL,) * len(same))
                sharded = jax.shard_map(program, mesh=self._mesh, in_specs=specs, out_specs=result, check_vma=False)
                return sharded(of_replicas, *same)

            return on_all

        return spread
