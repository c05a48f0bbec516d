"""Constant pressure over dynamics of ASE: moves of the volume that energies accept or refuse.

They are the moves of `refine.sampling.jax.barostat`, whose sources and limits hold here, too: every `MOVE_EVERY` steps
ln V is changed by a number drawn evenly, atoms scale along, and the change is taken with probability
min(1, exp[-(dU + p dV) / kT + (N + 1) dlnV]). Only energies are asked for, so a calculator needs no stress.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.errors import SimulationError
from refine.sampling.ase.field import Acting, atoms_of, energy_of, kinetic_of
from refine.sampling.ase.sampler import STEPS_PER_BLOCK, AseSampler, calculating
from refine.sampling.state import MDState
from refine.sampling.volumes import EVAPORATED, FIRST_WIDTH, MOVE_EVERY, WIDTHS, Volumes, joined
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]


class ConstantPressure:
    """Samples at constant pressure with the dynamics of a sampler.

    sampler: of one replica, with a thermostat; its cell is only where its box began.  pressure: GPa.
    seed: of the moves.  width: half-width of a move in ln V; changed by runs that tune it.
    """

    def __init__(self, sampler: AseSampler, pressure: float, seed: int, *, width: float = FIRST_WIDTH) -> None:
        if sampler.replicas != 1 or not sampler.thermostat.holds_temperature:
            raise ValueError("constant pressure needs a sampler of one replica with a thermostat")
        if not (math.isfinite(pressure) and width > 0):
            raise ValueError(f"constant pressure needs a finite pressure and a width above zero: {pressure}, {width}")
        self.sampler, self.pressure, self.seed, self.width = sampler, pressure, seed, width
        self.moves_per_block = max(1, STEPS_PER_BLOCK // MOVE_EVERY)

    def moves_in(self, picoseconds: float) -> int:
        """Moves in so long a time, at least one."""
        return max(1, math.ceil(picoseconds * 1000 / (self.sampler.timestep * MOVE_EVERY)))

    def run(
        self, state: MDState, cell: Array, params: Acting, temperature: float, moves: int, *, tune: bool = False
    ) -> tuple[MDState, Array, Volumes]:
        """Advance by `moves` volume moves, each after `MOVE_EVERY` steps, at `temperature` (K).

        cell: (3, 3) Å, in which the positions of the state are.  tune: adapt the width of moves after every block; what
        is sampled meanwhile is for equilibration.
        Returns the new state, its cell and what the volume did.
        Raises SimulationError when the dynamics fail, the box becomes too small for a cutoff, or evaporates.
        """
        if moves < 1:
            raise ValueError(f"moves is {moves}; it must be at least 1")
        seen, done = [], 0
        while done < moves:
            count = min(self.moves_per_block, moves - done)
            state, cell, volumes = self._block(state, cell, params, temperature, count)
            if tune:
                self.width = float(np.clip(self.width * np.clip(2 * volumes.accepted.mean(), 0.5, 1.5), *WIDTHS))
            seen.append(volumes)
            done += count
            if volumes.volume[-1] > EVAPORATED * self.sampler.system.volume:
                raise SimulationError(
                    f"the box has grown {EVAPORATED:g}-fold: at {temperature:.0f} K and {self.pressure:g} GPa "
                    "this is a gas",
                    where=f"step {state.step}",
                    fix="raise the pressure, or cool at constant volume first",
                )
        return state, cell, joined(seen)

    def _block(
        self, state: MDState, cell: Array, params: Acting, temperature: float, count: int
    ) -> tuple[MDState, Array, Volumes]:
        sampler = self.sampler.resized(cell)
        system, kT = sampler.system, BOLTZMANN * temperature
        before = {name: value[0] for name, value in state.thermostat.items()}
        atoms = atoms_of(system, state.positions[0], state.momenta[0])
        atoms.calc = params.fresh()
        dynamics = sampler.thermostat.dynamics(atoms, sampler.timestep, temperature, before, state.step)
        numbers = np.random.default_rng([self.seed, state.step])
        pressure, n = self.pressure / PRESSURE_UNIT, system.n_atoms
        volume, energies = np.zeros((2, count))
        accepted, kinetic = np.zeros(count, bool), np.zeros(count)
        steps = count * MOVE_EVERY
        with calculating(f"steps {state.step} to {state.step + steps}"):
            for move in range(count):
                for _ in range(MOVE_EVERY):
                    dynamics.step()
                drawn, threshold = numbers.random(2)
                growth = self.width * (2 * drawn - 1)
                old, at, energy = atoms.cell.array.copy(), atoms.get_positions(), energy_of(atoms)
                self._check_room(sampler, old * math.exp(growth / 3))
                atoms.set_cell(old * math.exp(growth / 3))
                atoms.set_positions(at * math.exp(growth / 3))
                trial = energy_of(atoms)
                work = pressure * abs(np.linalg.det(old)) * math.expm1(growth)
                accepted[move] = math.log(max(threshold, 1e-300)) < (n + 1) * growth - (trial - energy + work) / kT
                if not accepted[move]:
                    atoms.set_cell(old)
                    atoms.set_positions(at)
                volume[move], energies[move] = atoms.get_volume(), trial if accepted[move] else energy
                kinetic[move] = kinetic_of(atoms)
        after = replace(
            state,
            positions=wrap(atoms.get_positions()[None], atoms.cell.array),
            momenta=atoms.get_momenta()[None],
            thermostat={k: v[None] for k, v in sampler.thermostat.variables(dynamics, before).items()},
            step=state.step + steps,
            displacement=np.zeros(state.displacement.shape),
            sampled_steps=0,
        )
        watch = replace(sampler.watch, stride=MOVE_EVERY)
        watch.look(after, sampler.kinetic_temperature(kinetic)[:, None], temperature, sampling=False)
        return after, atoms.cell.array.copy(), Volumes(volume, energies, accepted, n)

    def _check_room(self, sampler: AseSampler, cell: Array) -> None:
        """SimulationError where a cutoff no longer fits into the box."""
        cutoff = sampler.field.cutoff
        if cutoff > replace(sampler.system, cell=cell).r_box:
            raise SimulationError(
                f"the box shrinks below what the cutoff of {cutoff:.2f} Å needs",
                where=f"constant pressure of {self.pressure:g} GPa",
                fix="use more atoms, a shorter cutoff or a higher density at the start",
            )
