"""The frames of [replay], from files and of their own making."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from refine.errors import InputError
from refine.formula import element_of
from refine.sampling.structure_files import read_structure
from refine.study.schema import Replay as Keys
from refine.study.schema import StudyConfig
from refine.system import System

if TYPE_CHECKING:  # with jax, which a study without weights does without
    from refine.learning.boxes import ChargeAndSpin
    from refine.learning.frames import LabelledFrame
    from refine.learning.replay import Replay
    from refine.potentials.protocols import BaseParameters

CLOSEST = 0.8
"""Shortest distance of a dimer, in the sum of the covalent radii."""


def replay_of(
    config: StudyConfig, base: Any, parameters: Sequence[BaseParameters], systems: Sequence[System]
) -> Replay | None:
    """What [replay] asks for; None where it asks for nothing.

    Args:
        config: the study.
        base: its potential.
        parameters: of every state, the base as a function of its own parameters.
        systems: of every state.

    Raises:
        InputError: the base is no MACE model; a frame or structure that cannot be used.
    """
    keys = config.replay
    if not keys.active:
        return None
    from refine.potentials.mace.weights import MaceWeights

    if not (parameters and isinstance(parameters[0], MaceWeights)):
        raise InputError(
            "frames are replayed while weights of a MACE model are refined",
            where="[replay]",
            fix='name weights in [refinement] parameters, such as "layers.1.readout" or "lora:8"',
        )
    from refine.learning.boxes import ChargeAndSpin
    from refine.learning.frames import read_labelled
    from refine.learning.loss import Terms
    from refine.learning.replay import Replay, Settings

    labelled = [frame for path in keys.paths for frame in read_labelled(path, keys.labels)]
    box = ChargeAndSpin(base.charge, base.spin)
    _check_said(labelled, base, box)
    wanted = [name for name in ("energy", "forces", "stress") if getattr(keys, name)]
    if labelled and not any(frame.weight_of(name) for frame in labelled for name in wanted):
        raise InputError(
            f"no frame has labels of what is replayed: {', '.join(wanted)}",
            where="[replay] frames",
            fix="give such labels, or other terms a weight above 0",
        )
    settings = Settings(
        weights=Terms(keys.energy, keys.forces, keys.stress),
        sigmas=Terms(keys.sigma_energy, keys.sigma_forces, keys.sigma_stress),
        share=keys.share,
        seed=keys.seed,
        sampled=keys.sampled if keys.self else 0,
    )
    weights = parameters[0]
    own = _own(keys, systems[0].species, weights.checkpoint.architecture.r_max) if keys.self else []
    return Replay(weights.checkpoint, weights.moved, base.head, labelled, own, systems, settings, box)


def _check_said(labelled: Sequence[LabelledFrame], base: Any, box: ChargeAndSpin) -> None:
    """InputError where a frame leaves open what charge and spin its labels are of, and the study's own are not the
    usual ones."""
    for frame in labelled if base.takes_charge_and_spin and box != (0, 1) else ():
        if frame.charge is None or frame.spin is None:
            raise InputError(
                f"the frame does not say its charge and spin, and [model] has charge = {box.charge}, spin = {box.spin}",
                where=frame.where,
                fix="write charge=0 spin=1, or what they are, into the header of the frame",
            )


def _own(keys: Keys, species: Sequence[str], cutoff: float) -> list[LabelledFrame]:
    """Structures, their copies, and dimers; the model's labels are still to come. They are uncharged, with as few
    unpaired spins as their electrons allow."""
    from refine.learning.replay import periodic_frame

    rng, found = np.random.default_rng(keys.seed), []
    for path in keys.structure_paths:
        system = read_structure(path, stated=species)
        assert system.positions is not None
        found.append(_neutral(periodic_frame(system, system.positions, "structures", str(path))))
        for number in range(1, keys.copies + 1):
            random = keys.strain * rng.normal(size=(3, 3))
            stretch = np.eye(3) + (random + random.T) / 2
            moved = system.positions @ stretch + keys.displacement * rng.normal(size=system.positions.shape)
            where = f"{path}, copy {number}"
            copied = periodic_frame(replace(system, cell=system.cell @ stretch), moved, "structures", where)
            found.append(_neutral(copied))
    return [*found, *_dimers(species, keys.dimers, cutoff)]


def _dimers(species: Sequence[str], number: int, cutoff: float) -> list[LabelledFrame]:
    """Two atoms alone, of every pair of elements, at distances up to the cutoff (Å)."""
    from refine.learning.frames import LabelledFrame

    found, elements = [], tuple(dict.fromkeys(map(element_of, species)))
    for a, b in itertools.combinations_with_replacement(elements, 2):
        shortest = CLOSEST * float(covalent_radii[atomic_numbers[a]] + covalent_radii[atomic_numbers[b]])
        for r in np.linspace(min(shortest, cutoff / 2), cutoff, number, endpoint=False):
            at = np.array([[0.0, 0.0, 0.0], [r, 0.0, 0.0]])
            where = f"the dimer {a}-{b} at {r:.2f} Å"
            dimer = LabelledFrame((a, b), at, np.zeros((3, 3)), np.zeros(3, bool), kind="dimers", where=where)
            found.append(_neutral(dimer))
    return found


def _neutral(frame: LabelledFrame) -> LabelledFrame:
    """Uncharged: of an even number of electrons all spins are paired, of an odd one all but one."""
    electrons = sum(atomic_numbers[symbol] for symbol in frame.symbols)
    return replace(frame, charge=0, spin=1 + electrons % 2)
