"""Whether frames are of the potential that they were wanted of: by the energies that came with some of them.

The energy U of a frame under the potential of a step follows from its positions. What came back, E, may count from
another zero, so E - U is the same number in all frames, whatever it is; its scatter, in kT of the whole box, is what
tells: frames of a potential that differs by δ have the wrong weights exp(δ/kT), up to their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.ase import on_top
from refine.potentials.calculator import Calculator
from refine.sampling.files.trajectory import Trajectory
from refine.sites import set_species
from refine.tasks.sample import FEWEST_FRAMES
from refine.tasks.step.orders import folder_of

if TYPE_CHECKING:
    from ase import Atoms

    from refine.potentials.correction import PairCorrection
    from refine.study.study import Study
    from refine.tasks.run.loop import Run

Array = NDArray[np.float64]

EVALUATED = 8
"""Frames of a state, or as many as are needed for two of each trajectory."""

SAME, SHARE = 0.1, 0.05
"""Scatter up to which energies are of a potential: kT, or of the scatter of the energies themselves, if that is more.
Cutoffs, tables and sums of charges of other programs make that much, and files with few digits."""

RATHER, EVIDENT = 3.0, 0.01
"""They are rather of an earlier potential if the scatter is so many times as large with this one, and larger than so
many kT."""


def check_potential(run: Run, s: int, read: Sequence[Trajectory]) -> tuple[str, ...]:
    """What is to be noted of it, of a state.

    read: trajectories without the frames that do not count.
    Raises InputError for energies of the potential of an earlier step.
    """
    study = run.study
    numbers = [_looked_at(one, max(2, EVALUATED // len(read))) for one in read]
    if sum(map(len, numbers)) < FEWEST_FRAMES:
        return _unchecked("too few of them have an energy")
    # what is no classical base would take its own program, or long
    if study.base_kind.own_engine is not None or study.base_kind.theory(study.config.model, study.base) != "":
        return _unchecked(f"energies of base {study.config.model.base!r} are not computed for it")
    came = np.array([one.energy[row] for one, rows in zip(read, numbers, strict=True) for row in rows.values()])
    atoms = [_atoms(study, s, one.looked[k]) for one, rows in zip(read, numbers, strict=True) for k in rows]
    potential, kt = run.record.potential, study.problem.kt(s)
    assert potential is not None
    energies = _Energies(study, s, atoms)
    now = energies.of(potential.correction(study.initial_correction()), potential.parameters)
    before = [energies.of(one.correction, one.parameters) for one in run.samples]
    scatter, others = _scatter(came - now), [_scatter(came - one) for one in before]
    same = max(SAME * kt, SHARE * _scatter(came))
    step = folder_of(run)
    if others and scatter > max(EVIDENT * kt, RATHER * min(others)) and min(others) <= same:
        other = int(np.argmin(others))
        raise InputError(
            f"the frames are of the potential of step {other:03d}, and not of step {step.name}: their energies follow "
            f"that one to {others[other] / kt:.2g} kT, and this one to {scatter / kt:.2g} kT",
            where=read[0].where[0],
            fix=f"sample the potential of {step}",
        )
    if scatter <= same:
        return ()
    correlation = float(np.corrcoef(came, now)[0, 1]) if _scatter(came) and _scatter(now) else 0.0
    return (
        f"the energies of the frames are not those of this step's potential: they differ from it by {scatter / kt:.2g} "
        f"kT from frame to frame, of {_scatter(came) / kt:.2g} kT in all (correlation {correlation:.2f})",
    )


def _unchecked(why: str) -> tuple[str, ...]:
    return (f"whether the frames are of this step's potential was not checked: {why}",)


def _looked_at(one: Trajectory, many: int) -> Mapping[int, int]:
    """Rows of some frames whose positions and energy are known, by their numbers."""
    row_of = {number: row for row, number in enumerate(one.numbers.tolist())}
    known = [k for k in sorted(one.looked) if k in row_of and np.isfinite(one.energy[row_of[k]])]
    chosen = {round(k) for k in np.linspace(0, len(known) - 1, many).tolist()} if known else set()
    return {known[k]: row_of[known[k]] for k in sorted(chosen)}


class _Energies:
    """Of some frames under the potentials of a run; that of the base is computed once."""

    def __init__(self, study: Study, s: int, atoms: Sequence[Atoms]) -> None:
        self.study, self.s, self.atoms = study, s, atoms
        self.dispersion = study.config.model.dispersion
        self.field, _ = study.samplers()[s]
        self._of_base: dict[bytes, Array] = {}

    def of(self, correction: PairCorrection, parameters: Array | None) -> Array:
        """(frames,) eV."""
        key = b"" if parameters is None else parameters.tobytes()
        acting: Any = self.study.force_field_params(self.field, self.s, correction, parameters)
        if key not in self._of_base:
            self._of_base[key] = self._computed(Calculator(acting.base, dispersion=self.dispersion))
        return self._of_base[key] + self._computed(on_top(acting.correction, "none"))

    def _computed(self, calculator: Calculator) -> Array:
        return np.array([calculator.get_potential_energy(one) for one in self.atoms])  # type: ignore[no-untyped-call]


def _atoms(study: Study, s: int, positions: Array) -> Atoms:
    from ase import Atoms

    system = study.systems[s]
    species = np.repeat(system.species, system.n_per_species).tolist()
    atoms = Atoms(numbers=[0] * len(species), positions=positions, cell=system.cell, pbc=True)
    return set_species(atoms, species)


def _scatter(values: Array) -> float:
    return float(np.std(values, ddof=1))
