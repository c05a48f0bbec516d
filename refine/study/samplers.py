"""The base model that a study names, and samplers of boxes under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from refine.potentials.bases import base_of
from refine.sampling.engine import Engine, EngineField
from refine.sampling.engines import engine_kind
from refine.study.choices.choice import Settings
from refine.study.schema import StudyConfig
from refine.system import System, species_pairs

if TYPE_CHECKING:
    from refine.potentials.protocols import Base


def read_base(config: StudyConfig, species: Sequence[str], opened: Any = None) -> tuple[Base, Any]:
    """The kind of base that a study names, and what it reads, for elements in order. InputError where it cannot.

    opened: a potential of the study's [model] that has been read (`refine.potentials.protocols.Base.heads`).
    """
    kind = base_of(config.model.base, config.model.dispersion)
    if opened is not None:
        return kind, opened
    potential = kind.read(config.model, tuple(species), species_pairs(species), config.correction.r_cut)
    if config.correction.molecules == "all":
        potential = replace(potential, everywhere=True)  # of base lammps, which alone has molecules
    return kind, potential


def sampler_of(
    kind: Base,
    model: Any,
    base: Any,
    system: System,
    settings: Settings,
    *,
    cutoff: float,
    n_bins: int,
    r_max: float,
    phase: str,
    replicas: int = 1,
    positions: bool = False,
) -> tuple[EngineField, Engine[Any]]:
    """A potential and its sampler for one box, of the engine that the settings name; imports the dynamics.

    kind, base: of `read_base`.  model: [model] of the study.  cutoff: Å, range of the correction.  The others are
    those of `refine.sampling.engine.EngineKind.sampler`.
    """
    engine = engine_kind(settings.engine)
    field = engine.field(kind, model, base, cutoff, system, settings.precision)
    sampler = engine.sampler(
        system, field, settings, n_bins=n_bins, r_max=r_max, phase=phase, replicas=replicas, positions=positions
    )
    return field, sampler
