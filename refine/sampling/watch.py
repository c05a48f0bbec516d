"""Looks at every block of steps and stops a trajectory that has failed, with what happened, where, and what to
change.

What it stops, and T, the three longest waves of the density that show a hole, are in docs/theory/sampling.md ("When a
trajectory is stopped"). The hole is a bubble, a cylinder or a slab, whichever has the least surface (L. G. MacDowell,
V. K. Shen and J. R. Errington, J. Chem. Phys. 125, 034705 (2006)). A box of which a share f is empty has
T/N = [sin(pi f) / (pi (1 - f))]^2 for a slab, 0.06 at f = 0.2, 0.19 at 0.35, 0.41 at 0.5, and 0.06, 0.15 and more for a
sphere. Positions of one moment are looked at, at the end of a block, and T is averaged over three of them. Only the
density of all atoms counts: a mixture that separates into two liquids leaves T small, unless they differ much in it. A
fluid near its critical point has a large T of its own, 3 S(k_min): the smaller the box, the sooner it is taken for one
with a hole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from refine.errors import SimulationError
from refine.sampling.state import Moving
from refine.system import System

HOT, COLD = 3.0, 1 / 3
"""Kinetic temperatures, in targets, beyond which a sampled block is a run-away or a collapse."""

FROZEN_AFTER_PS, FROZEN_BELOW = 10.0, 0.2
"""A liquid whose rms displacement after so many ps is below this many number_density^(-1/3) does not flow: that is a
Lindemann amplitude, which a crystal or glass stays below and a liquid leaves behind within a picosecond or two."""

DOUBTED_AFTER_PS = 2.0
"""From here on a liquid that does not flow is noted, for the report of a sample that ends before `FROZEN_AFTER_PS`."""

LOOKS, HOLLOW, FEWEST_WAVES = 3, 0.08, 12.0
"""A liquid has a hole when T, averaged over so many looks, is above this share of N (a quarter of the box is empty) and
above this number: an ideal gas, whose T is gamma distributed, has such a mean once in 5e7, and Lennard-Jones argon next
to its critical point (160 K, 150 atoms at 0.0105/Å^3) did not go beyond T = 4."""


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
    lenient: bool = False
    """Whether a liquid that does not flow is only noted: what was sampled of it is worth keeping after a fit."""
    notes: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """What was noted of the present trajectory, each once."""
    _waves: list[tuple[int, np.ndarray]] = field(default_factory=list, init=False, repr=False, compare=False)
    """Step and T (R,) of the last looks at one trajectory; not a part of its state, and begun anew when it goes on in
    another process."""

    def look(self, state: Moving, temperatures: np.ndarray, target: float, *, sampling: bool) -> None:
        """Raise SimulationError when the block that ended at `state` has failed.

        temperatures: (frames, R) kinetic, K.  target: K.
        sampling: True to judge temperature and mobility too, which an equilibration is still changing.
        """
        self._finite(state, temperatures)
        if sampling and self.thermostatted:
            self._temperature(state, temperatures.mean(axis=0), target)
        if sampling and self.phase == "liquid":
            self._flowing(state)
            self._whole(state)
        else:
            self._waves.clear()

    def _finite(self, state: Moving, temperatures: np.ndarray) -> None:
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

    def _temperature(self, state: Moving, means: np.ndarray, target: float) -> None:
        """means: (R,) over the block, judged with room for the fluctuations of a few atoms."""
        room = 1 + 5 * math.sqrt(2 / max(1, self.degrees_of_freedom))
        for replica, mean in enumerate(means):
            where = f"step {state.step}, replica {replica}"
            seen = f"{mean:.1f} K, the target is {target:.1f} K"
            if mean > HOT * room * target:
                raise SimulationError(
                    f"the temperature has run away: {seen}",
                    where=where,
                    fix=f"shorten sampling.timestep (now {self.timestep:g} fs) or lengthen sampling.equilibration",
                )
            if mean < COLD / room * target:
                raise SimulationError(
                    f"the temperature has collapsed: {seen}",
                    where=where,
                    fix="shorten sampling.time_constant or lengthen sampling.equilibration",
                )

    def _flowing(self, state: Moving) -> None:
        picoseconds = state.sampled_steps * self.timestep / 1000
        if picoseconds < DOUBTED_AFTER_PS:
            return
        drift = np.average(state.displacement, axis=1, weights=self.system.masses)
        relative = state.displacement - drift[:, None]
        rms = np.sqrt(np.mean(np.sum(relative**2, axis=2), axis=1))
        limit = FROZEN_BELOW * self.system.number_density ** (-1 / 3)
        if rms.min() < limit:
            seen = (
                f"the system is frozen: its atoms have moved {rms.min():.3f} Å (rms) in {picoseconds:.1f} ps, "
                f"those of a liquid more than {limit:.3f} Å"
            )
            if self.lenient and picoseconds >= FROZEN_AFTER_PS:
                self.notes[:] = [seen]
                return
            if picoseconds < FROZEN_AFTER_PS:
                self.notes[:] = [
                    f"the sample does not show that this is a liquid: its atoms have moved {rms.min():.3f} Å (rms) in "
                    f"{picoseconds:.1f} ps, "
                    f'those of a liquid more than {limit:.3f} Å; sample longer, or declare phase = "solid"'
                ]
                return
            raise SimulationError(
                seen,
                where=f"step {state.step}, replica {int(rms.argmin())}",
                fix='raise the temperature, weaken the potential, or declare phase = "solid"',
            )
        self.notes.clear()

    def _whole(self, state: Moving) -> None:
        if self._waves and state.step <= self._waves[-1][0]:
            self._waves.clear()  # another trajectory, or this one from an earlier state
        self._waves.append((state.step, long_waves(state.positions, self.system.cell)))
        del self._waves[:-LOOKS]
        if len(self._waves) < LOOKS:
            return
        mean = np.mean([waves for _, waves in self._waves], axis=0)
        if mean.max() > max(HOLLOW * self.system.n_atoms, FEWEST_WAVES):
            raise SimulationError(
                f"the liquid has a hole: about {empty_share(mean.max() / self.system.n_atoms):.0%} of the box is empty",
                where=f"step {state.step}, replica {int(mean.argmax())}",
                fix="raise system.number_density, or weaken the attraction: this liquid wants a smaller volume",
            )


def long_waves(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """T of positions (R, N, 3) in a cell (3, 3), rows its vectors: (R,). See the module.

    >>> corner = np.zeros((1, 8, 3))  # all in one place: each of the three waves has S = N
    >>> long_waves(corner, np.eye(3)).tolist()
    [24.0]
    """
    modes = np.exp(2j * np.pi * (np.asarray(positions, np.float64) @ np.linalg.inv(cell))).sum(axis=1)
    waves: np.ndarray = np.sum(np.abs(modes) ** 2, axis=1) / positions.shape[1]
    return waves


def empty_share(contrast: float) -> float:
    """f of an empty slab with T/N = contrast.

    >>> empty_share(0.0), round(empty_share(0.02), 3)
    (0.0, 0.127)
    """
    f = np.linspace(0.0, 0.999, 1000)
    return float(np.interp(contrast, (np.sin(np.pi * f) / (np.pi * (1 - f))) ** 2, f))
