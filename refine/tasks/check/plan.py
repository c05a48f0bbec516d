"""What will be sampled of each state, from the settings alone: steps and frames, at most and at least."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refine.refinement.problem import MovingRule, TrajectoryRule
from refine.sampling.engine import Engine, frames_in
from refine.sampling.starts import steps_of_dynamics
from refine.tasks.pilot import FEWEST, LONGEST, looking_at
from refine.tasks.sample import frames_per_replica
from refine.units import MASS_DENSITY_UNIT

if TYPE_CHECKING:
    from refine.study.study import Study

BYTES_PER_COUNT = 4
"""Of float32."""


@dataclass(frozen=True)
class StatePlan:
    """What will be sampled of one state; steps are those of each replica, which advance together.

    Attributes:
        name, temperature, phase: of the state; K.
        atoms: by species.  number_density: atoms/Å^3.  mass_density: g/cm^3.  cell: (3, 3) Å, rows are vectors.
        start: where the atoms come from, in words.
        start_steps: least and most, to the first frame that counts.
        first_frames: of each replica, at most, in a sample that decides what the study leaves open.
        settle_steps: after a change of the potential.
        sample_steps: of an ordinary sample.
        frames: of an ordinary sample, all replicas together.
        updates: of the potential, at most.
        samples: at most; in units of ordinary ones their lengths add up to `lengths`.
        moves: whether samples after the first come from moves of atoms and not from dynamics.
        windows, window_steps: how many windows of each replica are differentiated behind each sample, and their steps.
        frame_bytes: of the counts of a frame.
    """

    name: str
    temperature: float
    phase: str
    atoms: dict[str, int]
    number_density: float
    mass_density: float
    cell: Any
    start: str
    start_steps: tuple[int, int]
    first_frames: int
    settle_steps: int
    sample_steps: int
    frames: int
    updates: int
    samples: int
    lengths: float
    moves: bool
    windows: int
    window_steps: int
    frame_bytes: int

    @property
    def steps(self) -> int:
        """At most, from start structure to last frame; without what is moved or differentiated."""
        if self.moves:
            return self.start_steps[1] + self.sample_steps
        settling = self.settle_steps * (self.samples - 1)
        return self.start_steps[1] + settling + math.ceil(self.sample_steps * self.lengths)

    @property
    def all_frames(self) -> int:
        """At most, of all samples and replicas."""
        return math.ceil(self.frames * self.lengths)

    @property
    def moved_frames(self) -> int:
        """Those of them that come from moves of atoms."""
        return self.all_frames - self.frames if self.moves else 0


@dataclass(frozen=True)
class Plan:
    """What will be sampled.

    Attributes:
        engine, thermostat: their names.  timestep: fs.  stride: steps between frames.  replicas: side by side.
        equilibration, reequilibration: ps, to the first frame and after a change of the potential.
        opened: keys of [sampling] that a first sample decides; until then the numbers are the usual ones.
        programs: of dynamics that are compiled for a state: one for each time step and stride.
        states: of each state.
    """

    engine: str
    thermostat: str
    timestep: float
    stride: int
    replicas: int
    equilibration: float
    reequilibration: float
    opened: tuple[str, ...]
    programs: int
    states: tuple[StatePlan, ...]

    @property
    def bytes(self) -> int:
        """Of all frames, which are kept until a run ends."""
        return sum(state.all_frames * state.frame_bytes for state in self.states)


def plan_of(study: Study, engines: list[Engine[Any]], *, fitted: bool) -> Plan:
    """What a study will sample.

    Args:
        engines: of its states, as they will be used.
        fitted: whether there is a run of several samples, or only the base model's.
    """
    settings, rule = study.settings, study.rule
    updates = study.config.refinement.iterations if fitted else 0
    windows, window_steps = (rule.windows, rule.steps) if fitted and isinstance(rule, TrajectoryRule) else (0, 0)
    states = []
    for s, engine in enumerate(engines):
        system, state, box = study.systems[s], study.config.states[s], study.boxes[s]
        frames = frames_per_replica(settings.frames, settings.replicas)
        moves = fitted and isinstance(rule, MovingRule)
        kept = BYTES_PER_COUNT * len(study.pairs) * (len(box.edges) - 1)
        if any(one.stored_positions for one in study.parameters):
            kept += 3 * engine.dtype.itemsize * system.n_atoms
        states.append(
            StatePlan(
                name=state.name,
                temperature=state.temperature,
                phase=state.phase,
                atoms=dict(zip(system.species, system.n_per_species, strict=True)),
                number_density=system.number_density,
                mass_density=MASS_DENSITY_UNIT * float(system.masses.sum()) / system.volume,
                cell=system.cell,
                start="packing at random" if system.positions is None else "structure file",
                start_steps=_start(study, s),
                first_frames=LONGEST if study.looked_for else 0,
                settle_steps=0 if moves else frames_in(settings.reequilibration, engine) * engine.stride,
                sample_steps=frames * engine.stride,
                frames=frames * settings.replicas,
                updates=updates,
                samples=updates + 1,
                lengths=updates + settings.final if updates else 1.0,
                moves=moves,
                windows=math.ceil(windows / settings.replicas),
                window_steps=window_steps,
                frame_bytes=kept,
            )
        )
    opened = tuple(sorted(key.removeprefix("sampling.") for key in study.looked_for))
    steps = {stage.timestep or settings.timestep for stage in study.stages} | {settings.timestep}
    return Plan(
        engine=settings.engine,
        thermostat=settings.thermostat,
        timestep=settings.timestep,
        stride=settings.stride,
        replicas=settings.replicas,
        equilibration=settings.equilibration,
        reequilibration=settings.reequilibration,
        opened=opened,
        programs=len(steps) + (1 if opened else 0),
        states=tuple(states),
    )


def _start(study: Study, s: int) -> tuple[int, int]:
    """Steps from the start structure to the first frame that counts, at least and at most."""
    settings = looking_at(study).settings if study.looked_for else study.settings
    steps = steps_of_dynamics(
        settings.equilibration,
        settings.timestep,
        settings.stride,
        packed=study.systems[s].positions is None,
        stages=study.stages,
    )
    if study.looked_for:
        return steps + FEWEST * settings.stride, steps + LONGEST * settings.stride
    return steps, steps
