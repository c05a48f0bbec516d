"""Looks at every block of steps and stops a trajectory that has failed, with what happened, where, and what to
change."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refine.errors import SimulationError
from refine.sampling.state import MDState
from refine.sampling.structures import System

HOT, COLD = 3.0, 1 / 3
"""Kinetic temperatures, in targets, beyond which a sampled block is a run-away or a collapse."""

FROZEN_AFTER_PS, FROZEN_BELOW = 10.0, 0.2
"""A liquid whose rms displacement after so many ps is below this many number_density^(-1/3) does not flow: that is a
Lindemann amplitude, which a crystal or glass stays below and a liquid leaves behind within a picosecond or two."""


@dataclass(frozen=True)
class Watch:
    """What is known of a trajectory when its blocks are judged.

    timestep: fs.  stride: steps per frame.  phase: "liquid" or "solid".
    degrees_of_freedom: those that share the kinetic energy.  thermostatted: False for constant energy.
    """

    system: System
    timestep: float
    stride: int
    phase: str
    degrees_of_freedom: int
    thermostatted: bool

    def look(self, state: MDState, temperatures: np.ndarray, target: float, *, sampling: bool) -> None:
        """Raise SimulationError when the block that ended at `state` has failed.

        temperatures: (frames, R) kinetic, K.  target: K.
        sampling: True to judge temperature and mobility too, which an equilibration is still changing.
        """
        self._finite(state, temperatures)
        if sampling and self.thermostatted:
            self._temperature(state, temperatures.mean(axis=0), target)
        if sampling and self.phase == "liquid":
            self._flowing(state)

    def _finite(self, state: MDState, temperatures: np.ndarray) -> None:
        good = np.isfinite(temperatures).all(axis=1)
        if good.all() and np.isfinite(state.positions).all() and np.isfinite(state.momenta).all():
            return
        bad = len(good) - 1 if good.all() else int(np.argmin(good))
        first = state.step - (len(good) - bad) * self.stride
        raise SimulationError(
            "positions or momenta are no longer finite numbers",
            where=f"steps {first} to {first + self.stride}",
            fix=f"shorten sampling.timestep (now {self.timestep:g} fs), or check that the potential is repulsive at "
            "short range",
        )

    def _temperature(self, state: MDState, means: np.ndarray, target: float) -> None:
        """means: (R,) over the block, judged with room for the fluctuations of a few atoms."""
        room = 1 + 5 * math.sqrt(2 / max(1, self.degrees_of_freedom))
        for replica, mean in enumerate(means):
            where = f"step {state.step}, replica {replica}"
            found = f"{mean:.1f} K, the target is {target:.1f} K"
            if mean > HOT * room * target:
                raise SimulationError(
                    f"the temperature has run away: {found}",
                    where=where,
                    fix=f"shorten sampling.timestep (now {self.timestep:g} fs) or lengthen sampling.equilibration",
                )
            if mean < COLD / room * target:
                raise SimulationError(
                    f"the temperature has collapsed: {found}",
                    where=where,
                    fix="shorten sampling.time_constant or lengthen sampling.equilibration",
                )

    def _flowing(self, state: MDState) -> None:
        picoseconds = state.sampled_steps * self.timestep / 1000
        if picoseconds < FROZEN_AFTER_PS:
            return
        drift = np.average(state.displacement, axis=1, weights=self.system.masses)
        relative = state.displacement - drift[:, None]
        rms = np.sqrt(np.mean(np.sum(relative**2, axis=2), axis=1))
        limit = FROZEN_BELOW * self.system.number_density ** (-1 / 3)
        if rms.min() < limit:
            raise SimulationError(
                f"the system is frozen: its atoms have moved {rms.min():.3f} Å (rms) in {picoseconds:.1f} ps, "
                f"those of a liquid more than {limit:.3f} Å",
                where=f"step {state.step}, replica {int(rms.argmin())}",
                fix='raise the temperature, weaken the potential, or declare phase = "solid"',
            )
