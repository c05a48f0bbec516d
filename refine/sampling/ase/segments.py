"""Pieces of trajectory at constant energy, by ASE; see `refine.sampling.segments`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.errors import InputError
from refine.sampling.ase.field import Acting, atoms_of, energy_of, has_stress, kinetic_of, virial_tensor_of
from refine.sampling.ase.sampler import STEPS_PER_BLOCK, AseSampler, calculating
from refine.sampling.engine import Positions
from refine.sampling.segments import STRESS_EVERY, Segments, refuse_drift
from refine.sampling.state import MDState

Array = NDArray[np.float64]


class SegmentRunner:
    """Runs segments one after the other, and makes them longer on request.

    Args:
        sampler: of one replica, at constant energy.
        params: the potential that acts.
        positions: (S, N, 3) Å where they start.
        temperature: of their first momenta, K.
        seed: of these.
        interval: about the time between stored positions, ps.

    Raises:
        InputError: the calculator tells no stress, which segments record.
    """

    def __init__(
        self,
        sampler: AseSampler,
        params: Acting,
        positions: Positions,
        temperature: float,
        seed: int,
        interval: float,
    ) -> None:
        if not has_stress(params.base):
            raise InputError(
                "the calculator tells no stress, which trajectories at constant energy record",
                where="[model] calculator",
                fix="use a calculator with stress, or leave transport out",
            )
        self.sampler, self.params, self.temperature = sampler, params, temperature
        moment = STRESS_EVERY * sampler.timestep / 1000
        self._moments = max(1, round(interval / moment))  # in an interval
        self.interval, self.stress_interval = self._moments * moment, moment
        self.points_per_block = max(1, STEPS_PER_BLOCK // (self._moments * STRESS_EVERY))
        self.ends = [sampler.start(at, temperature, seed + k) for k, at in enumerate(positions)]
        self._positions: list[list[Array]] = [[np.asarray(at, np.float64)] for at in positions]
        self._stress: list[list[Array]] = [[] for _ in self.ends]
        self._kinetic: list[list[float]] = [[] for _ in self.ends]
        self._energy: list[list[float]] = [[] for _ in self.ends]

    def points_in(self, picoseconds: float) -> int:
        """Intervals in so long a time."""
        return max(1, round(picoseconds / self.interval))

    def lengthen(self, points: int, on_block: Callable[[int], None] | None = None) -> Segments:
        """Every segment longer by so many intervals; on_block is told how many of all segments were done.

        Raises SimulationError when the dynamics fail or the energy is not conserved.
        """
        for s in range(len(self.ends)):
            done = 0
            while done < points:
                count = min(self.points_per_block, points - done)
                self._advance(s, count)
                done += count
                if on_block is not None:
                    on_block(count)
        segments = Segments(
            positions=np.array(self._positions),
            stress=np.array(self._stress),
            interval=self.interval,
            stress_interval=self.stress_interval,
            temperature=np.array([self.sampler.kinetic_temperature(np.mean(one)) for one in self._kinetic]),
            drift=np.array([one[-1] - one[0] for one in self._energy]) / self.sampler.system.n_atoms,
        )
        refuse_drift(segments, self.temperature, self.sampler.timestep)
        return segments

    def _advance(self, s: int, count: int) -> None:
        """One segment by `count` intervals."""
        sampler, state = self.sampler, self.ends[s]
        atoms = atoms_of(sampler.system, state.positions[0], state.momenta[0])
        atoms.calc = self.params.fresh()
        dynamics = sampler.thermostat.dynamics(atoms, sampler.timestep, self.temperature, {}, state.step)
        steps = count * self._moments * STRESS_EVERY
        where = f"constant energy, steps {state.step} to {state.step + steps}"
        with calculating(where):
            if not self._energy[s]:
                self._energy[s].append(energy_of(atoms) + kinetic_of(atoms))
            for _ in range(count):
                for _ in range(self._moments):
                    for _ in range(STRESS_EVERY):
                        dynamics.step()
                    self._stress[s].append(_kinetic_tensor(atoms) + virial_tensor_of(atoms))
                self._positions[s].append(atoms.get_positions())
                self._kinetic[s].append(kinetic_of(atoms))
            self._energy[s].append(energy_of(atoms) + kinetic_of(atoms))
        after = replace(
            state,
            positions=wrap(atoms.get_positions()[None], sampler.system.cell),
            momenta=atoms.get_momenta()[None],
            step=state.step + steps,
        )
        temperatures = sampler.kinetic_temperature(np.array(self._kinetic[s][-count:]))
        sampler.watch.look(after, temperatures[:, None], self.temperature, sampling=False)
        self.ends[s] = after


def _kinetic_tensor(atoms: Atoms) -> Array:
    """Sum p (x) p / m, (3, 3) eV."""
    momenta = atoms.get_momenta()
    return np.asarray(momenta.T @ (momenta / atoms.get_masses()[:, None]))
