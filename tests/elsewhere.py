"""Frames as somebody else would bring them: the potential that a run waits for, sampled by jax, as extended XYZ."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from refine.sampling.extended_xyz import frame_text
from refine.sampling.starts import equilibrate
from refine.study.study import Study
from refine.tasks.run import store


@cache
def _jax(study: Path, overrides: tuple[str, ...]) -> tuple[Study, list]:
    made = Study.from_toml(study, ('sampling.engine="jax"', *overrides))
    return made, made.samplers(positions=True)


def bring(
    study: Path,
    run: Path,
    to: Path,
    *,
    frames: int = 40,
    seed: int = 1,
    state: int = 0,
    energies: bool = True,
    picoseconds: float = 1.0,
    overrides: tuple[str, ...] = (),
) -> Path:
    """Write frames of a state (its number) under the potential that the run in a folder waits for, into a file."""
    record = store.load(run / store.CHECKPOINT).record
    made, samplers = _jax(study, overrides)
    made = made.decided(record.choices) if record.choices else made
    field, sampler = samplers[state]
    correction = record.potential.correction(made.initial_correction())
    params = made.force_field_params(field, state, correction, record.potential.parameters)
    kelvin = made.problem.temperatures[state]
    begin = equilibrate(sampler, params, kelvin, seed, picoseconds)
    _, taken = sampler.run(begin, params, kelvin, frames)
    to.parent.mkdir(parents=True, exist_ok=True)
    texts = []
    for k, positions in enumerate(np.asarray(taken.positions, float)):
        about: dict = {}
        if energies:
            stress = -taken.virial[k] / (3 * sampler.system.volume)
            about = {
                "energy": float(taken.energy[k]),
                "stress": " ".join(map(repr, (stress * np.eye(3)).ravel().tolist())),
            }
        texts.append(frame_text(sampler.system, positions, about))
    to.write_text("".join(texts))
    return to
