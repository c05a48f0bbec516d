"""`refine forward TRAJECTORY STUDY`: what the study's measurements would have seen of a trajectory; no dynamics.

Pair counts of the frames (`refine.sampling.trajectories`) take the place of a sample in the very operators that a run
is scored with: the box is that of the trajectory, everything else - Q range, window, weights, score range, free scale -
the study's. Standard errors are those of averages over correlated frames; of fewer than `FRAMES_FOR_ERRORS` none is
given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from refine.errors import InputError
from refine.progress import NullProgress, Progress
from refine.results.derived import coordination_numbers, shells_of
from refine.sampling.structure_files import species_in
from refine.sampling.trajectories import count_trajectory
from refine.study.datasets import read_datasets, read_predictions
from refine.study.schema import StudyConfig
from refine.study.systems import check_radii, read_system
from refine.system import Box
from refine.tasks.forward.answer import Forward, check_out
from refine.tasks.forward.checks import check_composition, check_density, check_rescaling, refuse_vacuum
from refine.tasks.forward.compared import compared, compared_number
from refine.tasks.forward.seen import Seen
from refine.tasks.forward.tables import propagation

__all__ = ["Forward", "check_out", "default_out", "forward"]

USUAL_Q_MAX, PHASE = 30.0, 0.1
"""1/Å, as far as curves are taken to reach whose range the study does not say; and Q times the width of a bin there."""


def forward(
    config: StudyConfig,
    trajectory: str | Path,
    *,
    state: str | None = None,
    types: Sequence[str] | None = None,
    elements: Mapping[str, str] | None = None,
    atoms: str | Path | None = None,
    cell: np.ndarray | None = None,
    kind: str | None = None,
    first: int = 1,
    last: int | None = None,
    every: int = 1,
    rescale: bool = False,
    rescale_by_more: bool = False,
    progress: Progress | None = None,
) -> Forward:
    """Compare a trajectory with the data sets of one state of a study.

    Args:
        state: name of the state; needed where the study has several.
        types, elements, cell, kind, first, last, every: see `refine.sampling.trajectories.count_trajectory`.
        atoms: structure file that names the atoms of a DCD, XTC or TRR in its order; types, elements are of this file.
        rescale: multiply all lengths by one factor so that the number density is the study's; by more than 3 % is an
            error. Without, a density that differs by more than 0.5 % is one: the measured T(r) would be drawn with the
            wrong one.
        rescale_by_more: the same, by any factor.

    Raises:
        InputError: the trajectory cannot be read, is of another material or density, or the box is too small for what
            the study asks of it.
    """
    if config.model.widens_molecules:
        raise InputError(
            "a trajectory does not tell which atoms are one molecule",
            where="[model] intramolecular",
            fix="--set model.intramolecular={} compares distances as they are in the trajectory",
        )
    one = _of_state(config, state)
    declared = read_system(one, one.states[0])
    species, density = declared.species, declared.number_density
    check_radii(one, tuple(itertools.combinations_with_replacement(species, 2)))
    finer = _finer(one)
    named = None
    if atoms is not None:
        named = species_in(atoms, species, types=None if types is None else tuple(types), elements=elements)
        types = elements = None
    counted = count_trajectory(
        trajectory,
        one.sampling.bin_width / finer,
        species=species,
        types=types,
        elements=elements,
        cell=cell,
        kind=kind,
        named=named,
        first=first,
        last=last,
        every=every,
        progress=progress,
    )
    (progress or NullProgress()).doing("comparing with the data")
    check_composition(counted, declared.composition, str(trajectory))
    refuse_vacuum(counted, density, str(trajectory))
    factor = 1.0
    if rescale or rescale_by_more:
        factor = (counted.system.number_density / density) ** (1 / 3)
        check_rescaling(counted, density, factor, rescale_by_more, str(trajectory))
        counted = counted.rescaled(density)
    else:
        check_density(counted, density, config, one.states[0].name, str(trajectory))
    system, wide = counted.system, counted.frames.merged(finer)
    frames = counted.frames.within(wide.r_max)
    box = Box(system.species, system.n_per_species, frames.volume, frames.edges, system.cell, declared.isotopes)
    check_radii(one, box.pairs, wide.r_max)
    scores = tuple(compared(one, data, box, frames) for data in read_datasets(one, [box]))
    coordination = coordination_numbers(
        box.species, box.pairs, propagation(wide), shells_of(wide, box.pairs, one.coordination.radii)
    )
    predictions = tuple(read_predictions(one, [box]))
    numbers = tuple(compared_number(entry, box, one.states[0].temperature, frames) for entry in one.numbers)
    seen = Seen(one.states[0], box, frames, scores, numbers, predictions, tuple(coordination), finer)
    return Forward(Path(trajectory), one, counted, seen, factor)


def _finer(config: StudyConfig) -> int:
    """Into how many bins each of `sampling.bin_width` is divided for the curves.

    A distance is taken to be anywhere in its bin, which is an error of phase of Q w/sqrt(12) for each pair. It averages
    out over the frames of a run; a trajectory may be one frame.
    """
    ranges = [data.q_range[1] for data in config.curves if data.q_range is not None]
    ranges += [data.fit_q[1] for data in config.curves if data.fit_q is not None]
    q_max = max([USUAL_Q_MAX, *ranges])
    return max(1, math.ceil(config.sampling.bin_width * q_max / PHASE - 1e-9))


def default_out(config: StudyConfig, trajectory: Path) -> Path:
    """runs/<name of the study's folder>-<name of the trajectory>."""
    study = config.default_out()
    return study.with_name(f"{study.name}-{trajectory.stem or trajectory.name}")


def _of_state(config: StudyConfig, name: str | None) -> StudyConfig:
    """The study with one of its states and the data measured in it."""
    names = [state.name for state in config.states]
    if name is None and len(names) > 1:
        raise InputError("the study has several states", where="--state", fix=f"give one of {', '.join(names)}")
    if name is not None and name not in names:
        raise InputError(f"the study has no state {name!r}", where="--state", fix=f"give one of {', '.join(names)}")
    state = config.states[0 if name is None else names.index(name)]
    data = tuple(data for data in config.data if config.state_of(data).name == state.name)
    if not data:
        raise InputError(f"no data set belongs to state '{state.name}'", where="--state")
    return config.model_copy(update={"states": (state,), "data": data})
