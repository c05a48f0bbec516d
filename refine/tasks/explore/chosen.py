"""Which frames are labelled, and how good and how sure a model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from refine.learning.diversity import farthest, scaled
from refine.learning.explore_keys import Selection
from refine.learning.features import features_of
from refine.learning.frames import LabelledFrame
from refine.learning.rigidity import Rigidity, calibration, committee
from refine.potentials.calculator import Calculator
from refine.potentials.mace.reader import load
from refine.results.explored import Estimate, Trust
from refine.tasks.explore.labels import as_atoms

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Learnt:
    """A model of the loop, and what it was made from.

    models: files, of a committee several, the first of which is sampled.  head: of them.
    train, apart: labelled frames.
    """

    models: tuple[Path, ...]
    head: str | None
    train: list[LabelledFrame]
    apart: list[LabelledFrame]


@dataclass(frozen=True)
class Judged:
    """Errors on the frames kept apart, meV per atom and meV/Å; and how the uncertainties compare with them."""

    energy: Estimate
    forces: Estimate
    trust: Trust | None


def judge(learnt: Learnt) -> Judged:
    """Errors of a model, and the calibration of its uncertainties."""
    energies, forces = _errors(learnt)
    trust = None
    rigidity, apart = _rigidity(learnt, energies)
    found = calibration(rigidity.sigma(apart), energies) if rigidity.calibrated else None
    if found is not None:
        trust = Trust(1e3 * rigidity.alpha, found.rms, *found.within, found.frames)
    return Judged(_rms(1e6 * energies**2), _rms(1e6 * forces), trust)


def choose(
    candidates: Sequence[LabelledFrame], keys: Selection, number: int, learnt: Learnt | None, turn: int
) -> tuple[list[int], str]:
    """Numbers of the candidates that are to be labelled, and in words how they were chosen.

    turn: of the generation, which random numbers follow from.
    """
    if keys.select == "random" or learnt is None:
        rng = np.random.default_rng((keys.seed, turn, 1))
        return sorted(rng.choice(len(candidates), number, replace=False).tolist()), "at random"
    found = features_of(load(learnt.models[0]), [*candidates, *learnt.train], learnt.head)
    weights, words = None, []
    if keys.select != "diverse" and learnt.train:  # before the first label nothing is less certain than the rest
        words.append("by the disagreement of the committee" if len(learnt.models) > 1 else "by the rigidity")
        if len(learnt.models) > 1:
            weights = _disagreement(candidates, learnt)
        else:
            rigidity, _ = _rigidity(learnt, _errors(learnt)[0])
            if keys.environments:
                weights = np.array([rigidity.sigma(one).max() for one in found.last[: len(candidates)]])
            else:
                weights = rigidity.sigma(found.per_atom()[: len(candidates)])
            words[0] += " of the last layer"
    if keys.select == "uncertain" and weights is not None:
        return np.argsort(-weights, kind="stable")[:number].tolist(), words[0]
    points = scaled(found.points(environments=keys.environments))
    chosen = farthest(points[: len(candidates)], _joined(points[len(candidates) :]), number, weights)
    words.append("farthest points of atoms" if keys.environments else "farthest points")
    return chosen, " and ".join(words)


def _joined(points: Sequence[Array]) -> Array:
    return np.concatenate(points) if points else np.empty((0, 0))


def _rigidity(learnt: Learnt, energies: Array) -> tuple[Rigidity, Array]:
    """Of the first model, calibrated with its errors, eV per atom; and the features of the frames kept apart."""
    found = features_of(load(learnt.models[0]), [*learnt.train, *learnt.apart], learnt.head).per_atom()
    n = len(learnt.train)
    return Rigidity.of(found[:n], found[n:], energies), found[n:]


def _errors(learnt: Learnt) -> tuple[Array, Array]:
    """Of the first model on each frame kept apart: of the energy, eV per atom, and the mean square of the forces'."""
    calculator = Calculator(learnt.models[0], head=learnt.head)
    energies, forces = [], []
    for frame in learnt.apart:
        atoms = _atoms(frame, calculator)
        assert frame.energy is not None
        energies.append((atoms.get_potential_energy() - frame.energy) / len(atoms))
        forces.append(float(np.mean((atoms.get_forces() - frame.forces) ** 2)))
    return np.array(energies), np.array(forces)


def _disagreement(candidates: Sequence[LabelledFrame], learnt: Learnt) -> Array:
    """(candidates,) eV/Å."""
    calculators = [Calculator(model, head=learnt.head) for model in learnt.models]
    return np.array([committee([_atoms(f, one).get_forces() for one in calculators]) for f in candidates])


def _atoms(frame: LabelledFrame, calculator: Calculator) -> Atoms:
    atoms = as_atoms(frame)
    atoms.calc = calculator
    return atoms


def _rms(squares: Array) -> Estimate:
    """Root of the mean over frames, and its standard error from their scatter."""
    value = float(np.sqrt(np.mean(squares)))
    if len(squares) < 2 or value == 0:
        return Estimate(value, None)
    return Estimate(value, float(np.std(squares, ddof=1) / np.sqrt(len(squares)) / (2 * value)))
