"""`refine enrich STUDY`: configurations further apart than those of plain dynamics, by well-tempered metadynamics.

A state is sampled under the base model as a run samples it, first without a bias, for the widths of the hills and to
compare with, then with one along the study's [[variables]]. Frames carry the weights that make averages of them those
of the unbiased system (`refine.sampling.bias`). What is sampled is kept in a checkpoint: a run that was interrupted and
goes on is bit for bit the one that was not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import CheckpointError, InputError
from refine.files import exclusive
from refine.progress import NullProgress, Progress
from refine.results.provenance import provenance
from refine.results.tables import plain as plain_values
from refine.sampling.averages import standard_error
from refine.sampling.bias import FEWEST_EFFECTIVE, Bias, Hills, effective, reweighted
from refine.sampling.extended_xyz import frame_text
from refine.sampling.frames import Frames, by_replica
from refine.study.bias import bias_of, with_widths
from refine.study.choices.choice import Choice
from refine.study.choices.engine import refuse_elsewhere
from refine.study.schema import State, StudyConfig
from refine.study.study import Study
from refine.system import System
from refine.tasks.biased import CHECKPOINT, PIECES, Sampled, load, save
from refine.tasks.outputs import clear, refuse_foreign, refuse_inputs, refuse_taken, write_files
from refine.tasks.pilot import equilibrated, pilot
from refine.tasks.sample import pieces

if TYPE_CHECKING:
    from refine.sampling.jax.sampler import Sampler

Array = NDArray[np.float64]

MARK, FRAMES = "enrich.json", "enriched.extxyz"
"""What is known of the sample, and its configurations."""

OUTPUTS = (FRAMES, PIECES, CHECKPOINT, MARK)

PLAIN_SHARE, PARTS = 0.25, 20
"""Frames without a bias, as a share of those with; pieces after which all is saved."""

BLOCKS = 5
"""Pieces of each replica whose scatter is the error of a reweighted average."""


@dataclass(frozen=True)
class Mean:
    """A quantity without bias, with it, and reweighted.

    plain, biased, reweighted: mean and standard error; the last is None where there are too few effective frames.
    spread, biased_spread: standard deviations over frames.
    """

    name: str
    unit: str
    plain: tuple[float, float]
    biased: tuple[float, float]
    reweighted: tuple[float, float] | None
    spread: float
    biased_spread: float


@dataclass(frozen=True)
class Enriched:
    """A biased sample of a state.

    hills: of every replica.  plain, frames: without and with the bias; energies are those of the model alone.
    """

    config: StudyConfig
    system: System
    state: State
    bias: Bias
    hills: tuple[Hills, ...]
    plain: Frames
    frames: Frames
    choices: tuple[Choice, ...]
    provenance: dict[str, Any]

    @property
    def weights(self) -> Array:
        """(frames,) of the unbiased average, their sum 1; replicas count alike."""
        return np.concatenate([one.weights() for one in self.hills]) / len(self.hills)

    def means(self) -> list[Mean]:
        """The variables, and energy and pressure."""
        weights, n = self.weights, self.system.n_atoms
        quantities = [
            (one.name, "", one.values(self.plain.counts), np.concatenate([h.centres[:, k] for h in self.hills]))
            for k, one in enumerate(self.bias.variables)
        ]
        quantities.append(("energy", "eV/atom", self.plain.energy / n, self.frames.energy / n))
        quantities.append(("pressure", "GPa", self.plain.pressure(), self.frames.pressure()))
        return [self._mean(name, unit, free, biased, weights) for name, unit, free, biased in quantities]

    def _mean(self, name: str, unit: str, free: Array, biased: Array, weights: Array) -> Mean:
        one = None
        if effective(weights) >= FEWEST_EFFECTIVE:
            mean = float(reweighted(biased, weights))
            pulls = (weights * (biased - mean)).reshape(len(self.hills), -1)
            blocks = [part.sum() for replica in pulls for part in np.array_split(replica, BLOCKS)]
            one = mean, math.sqrt(sum(block**2 for block in blocks))
        return Mean(
            name,
            unit,
            (float(free.mean()), float(standard_error(free, self.plain.replica))),
            (float(biased.mean()), float(standard_error(biased, self.frames.replica))),
            one,
            float(free.std()),
            float(biased.std()),
        )

    def to_json(self) -> dict[str, Any]:
        """What enrich.json holds."""
        table = {
            "title": self.config.title,
            "state": self.state.name,
            "temperature": self.state.temperature,
            "variables": [{"name": one.name, "width": one.width} for one in self.bias.variables],
            "height_kT": self.bias.height,
            "factor": self.bias.factor,
            "frames": len(self.frames),
            "effective_frames": effective(self.weights),
            "means": [asdict(mean) for mean in self.means()],
            "hills": [{"centres": one.centres.tolist(), "heights_kT": one.heights.tolist()} for one in self.hills],
            "weights": self.weights.tolist(),
            "chosen": [choice.to_json() for choice in self.choices],
            "provenance": self.provenance,
        }
        return dict(plain_values(table))

    def write(self, folder: Path) -> None:
        """enriched.extxyz and enrich.json."""
        write_files(folder, {FRAMES: "".join(self._configurations())})
        write_files(folder, {MARK: json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"})

    def _configurations(self) -> Iterator[str]:
        frames, weights = self.frames, self.weights
        assert frames.positions is not None
        centres = np.concatenate([one.centres for one in self.hills])
        each = len(frames) // len(self.hills)
        for k in range(len(frames)):
            if (k % each + 1) % self.config.bias.keep == 0:
                about: dict[str, str | float] = {
                    "energy": float(frames.energy[k]),
                    "temperature": float(frames.temperature[k]),
                    "state": self.state.name,
                    "replica": int(frames.replica[k]),
                    "frame": k % each + 1,
                    "weight": float(weights[k]),
                }
                about |= {one.name: float(s) for one, s in zip(self.bias.variables, centres[k], strict=True)}
                yield frame_text(self.system, frames.positions[k], about)

    def table(self) -> str:
        """What the terminal shows."""
        kish = effective(self.weights)
        lines = [
            f"{self.state.name}: {len(self.frames)} frames at {self.state.temperature:g} K, "
            f"{sum(len(one.heights) for one in self.hills)} hills, the last of "
            f"{float(np.mean([one.heights[-1] for one in self.hills])):.2g} kT",
            f"effective frames without the bias: {kish:.0f}"
            + ("" if kish >= FEWEST_EFFECTIVE else f"; {FEWEST_EFFECTIVE:g} are needed for averages"),
            f"{'':24}{'without bias':>22}{'reweighted':>22}{'spread':>12}{'with bias':>12}",
        ]
        for mean in self.means():
            back = "-" if mean.reweighted is None else f"{mean.reweighted[0]:.4g} ± {mean.reweighted[1]:.2g}"
            label = f"{mean.name} {mean.unit}".strip()
            free = f"{mean.plain[0]:.4g} ± {mean.plain[1]:.2g}"
            lines.append(f"{label:24}{free:>22}{back:>22}{mean.spread:12.3g}{mean.biased_spread:12.3g}")
        return "\n".join(lines)


def default_out(config: StudyConfig) -> Path:
    """runs/<name of the study's folder>-enrich."""
    study = config.default_out()
    return study.with_name(f"{study.name}-enrich")


def check_out(config: StudyConfig, folder: Path, *, overwrite: bool = False, resume: bool = False) -> None:
    """Refuses a study whose frames others make, and a folder with a run, with files that are read, or with outputs of
    something else.

    overwrite: earlier outputs are replaced.  resume: they are gone on with.
    """
    refuse_elsewhere(config.sampling.engine)
    refuse_inputs(config, [folder / name for name in OUTPUTS])
    if resume:
        return
    if (folder / CHECKPOINT).exists() and not overwrite:
        fix = "use --resume to go on, --overwrite to start again, or another --out"
        raise CheckpointError(f"this folder holds a sample ({CHECKPOINT})", where=str(folder), fix=fix)
    if not (folder / CHECKPOINT).exists():
        refuse_foreign(folder, OUTPUTS, MARK)
        refuse_taken(folder, OUTPUTS, MARK, overwrite=overwrite)


def enrich(
    config: StudyConfig,
    folder: Path,
    *,
    state: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Enriched:
    """Sample a state of a study with and without its bias, and write what was found.

    Args:
        config: the study; its [correction] and [refinement] play no part.
        folder: of the outputs.
        state: name of the state; None where there is one.
        resume: go on with what was interrupted there.
        overwrite: replace an earlier sample.
        progress: told what happens.

    Raises:
        InputError: no such state, variables that do not fit, or an engine without a bias.
        CheckpointError: what is in the folder is of another study, or damaged.
        SimulationError: the dynamics failed.
    """
    progress = progress or NullProgress()
    study = Study(config, corrected=False)
    s = _state(config, state)
    if study.settings.engine != "jax":
        raise InputError(
            f"engine {study.settings.engine!r} has no bias", where="[sampling] engine", fix='set engine = "jax"'
        )
    bias, digest = bias_of(study, s), _digest(study, s)
    with exclusive(folder):
        check_out(config, folder, overwrite=overwrite, resume=resume)
        stored = load(folder, digest) if resume else None
        if stored is None:
            clear(folder, OUTPUTS)
            stored = _without_bias(study, s, digest, progress)
            save(folder, stored)
        study = study.decided(stored.choices)
        bias = with_widths(bias, stored.plain)
        found = _with_bias(study, s, bias, stored, folder, progress)
        found.write(folder)
    return found


def _state(config: StudyConfig, name: str | None) -> int:
    names = [one.name for one in config.states]
    if name not in (None, *names) or (name is None and len(names) > 1):
        what = "the study has several states" if name is None else f"the study has no state {name!r}"
        raise InputError(what, where="--state", fix=f"give one of {', '.join(names)}")
    return 0 if name is None else names.index(name)


def _digest(study: Study, s: int) -> str:
    """Of all that a biased sample follows from."""
    config = study.config
    own = {
        "bias": config.bias.model_dump(exclude={"keep"}),
        "variables": [one.model_dump() for one in config.variables],
    }
    text = json.dumps([study.digest(), s, own], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _sampler(study: Study, s: int) -> tuple[Sampler, Any]:
    """Of a state, with a frame for every hill, and what its force field takes without a correction."""
    from refine.sampling.jax.sampler import Sampler

    field, engine = study.samplers(positions=True)[s]
    assert isinstance(engine, Sampler)
    return engine.with_stride(study.config.bias.every), field.params(None)


def _without_bias(study: Study, s: int, digest: str, progress: Progress) -> Sampled:
    begun = pilot(study, progress)
    study, temperature = begun.study, begun.study.problem.temperatures[s]
    sampler, params = _sampler(study, s)
    if begun.starts is None:
        start: Any = equilibrated(study, s, sampler, params, progress)
    else:
        start = begun.starts[s]
    count = max(10, round(PLAIN_SHARE * study.config.bias.frames))
    progress.stage("without bias", count)
    parts = []
    for end, piece, done in pieces(sampler, start, params, temperature, count):
        assert piece is not None
        start = end
        parts.append(piece)
        progress.advance(done)
    return Sampled(digest, study.choices, start, by_replica(parts))


def _with_bias(study: Study, s: int, bias: Bias, stored: Sampled, folder: Path, progress: Progress) -> Enriched:
    from refine.sampling.jax.metadynamics import biased_sampler, biased_start, hills_of

    frames, temperature = study.config.bias.frames, study.problem.temperatures[s]
    plain, params = _sampler(study, s)
    sampler = biased_sampler(plain, bias, frames)
    parts, done = list(stored.parts), sum(len(part) for part in stored.parts) // sampler.replicas
    state: Any = stored.state if parts else biased_start(sampler, stored.state)
    progress.stage("with bias", frames)
    progress.advance(done)
    size = sampler.frames_per_block * math.ceil(frames / PARTS / sampler.frames_per_block)
    for end, piece, count in pieces(sampler, state, params, temperature, frames, done=done, size=size):
        assert piece is not None
        parts.append(piece)
        state = end
        save(folder, replace(stored, state=state, parts=tuple(parts)), written=len(parts))
        progress.advance(count)
    return Enriched(
        study.config,
        study.systems[s],
        study.config.states[s],
        bias,
        hills_of(state, bias),
        stored.plain,
        by_replica(parts),
        study.choices,
        provenance(study.settings.seed, study.config.digest()),
    )
