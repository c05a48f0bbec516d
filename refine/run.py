"""One run in one folder: the loop, its checkpoint, and how it goes on after an interruption.

Everything random follows from the seed, every step is a pure function of what the checkpoint holds, and frames are
taken in pieces of fixed size, so a run that was killed and resumed ends with the numbers of one that was not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine import checkpoint as store
from refine.errors import CheckpointError
from refine.files import make_folder, write_text
from refine.potentials.pair import PairCorrection
from refine.progress import Progress
from refine.refinement.problem import Sample
from refine.results import Outcome, Result, write_outcome
from refine.sampling.frames import Frames, concatenate

if TYPE_CHECKING:
    from refine.sampling.dynamics import MDState
    from refine.study import Study

Array = NDArray[np.float64]

CORE_COUNTS = 20
"""Pairs that must have been seen below a distance, in one sample, for it to count as sampled."""

SAVE_INTERVAL = 5.0
"""Seconds between checkpoints inside a sample. When one is written changes nothing in the run's numbers."""

OUTPUTS = ("run.h5", "result.json", "report.html", "study.toml", "curves", "g_r")
"""What a run leaves in its folder, and all that --overwrite removes."""


class Run:
    """One run in one folder: the loop's position is in `record`, everything else in `samples` and `current`."""

    def __init__(self, study: Study, folder: Path, *, resume: bool, overwrite: bool, progress: Progress) -> None:
        self.study, self.folder, self.progress = study, folder, progress
        self.path = folder / "run.h5"
        self.digest = study.digest()
        self.samples: list[Sample] = []
        self.ends: list[list[MDState]] = []
        self.record: dict[str, Any] = {
            "phase": "start",
            "rule": study.rule.start(),
            "iterations": [],
            "restart": None,
            "frames_factor": 1.0,
            "next": None,
            "seconds": 0.0,
        }
        self.current: list[dict[str, np.ndarray]] = []
        self.saved = time.monotonic()
        self.started = time.monotonic()
        if resume:
            self._load()
        else:
            self._clear(overwrite)
            write_text(folder / "study.toml", study.config.to_toml())
            self._save()

    # -- checkpoint ----------------------------------------------------------------------------------------------------

    def _clear(self, overwrite: bool) -> None:
        if self.path.exists() and not overwrite:
            raise CheckpointError(
                "this folder holds a run",
                where=str(self.folder),
                fix="use --resume to go on with it, --overwrite to replace it, or another --out",
            )
        for name in OUTPUTS:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _save(self) -> None:
        now = time.monotonic()
        self.record["seconds"] += now - self.started
        self.started = now
        samples = [
            {
                "coefficients": sample.correction.coefficients,
                "core": sample.correction.core,
                "frames": {f"{s:04d}": frames.to_arrays() for s, frames in enumerate(sample.frames)},
                "dynamics": {f"{s:04d}": state.to_arrays() for s, state in enumerate(ends)},
            }
            for sample, ends in zip(self.samples, self.ends, strict=True)
        ]
        store.save(self.path, store.Checkpoint(self.digest, self.record, samples, self.current))
        self.saved = time.monotonic()

    def _load(self) -> None:
        from refine.sampling.dynamics import MDState

        loaded = store.load(self.path, self.digest)
        self.record, self.current = loaded.record, loaded.current
        for stored in loaded.samples:
            frames = [Frames.from_arrays(stored["frames"][s]) for s in sorted(stored["frames"])]
            self.samples.append(Sample(self._correction(stored), tuple(frames)))
            self.ends.append([MDState.from_arrays(stored["dynamics"][s]) for s in sorted(stored["dynamics"])])

    def _correction(self, stored: dict[str, Any]) -> PairCorrection:
        correction = self.study.initial_correction()
        theta = np.asarray(stored["coefficients"], float)[list(correction.active)].ravel()
        return correction.with_theta(theta).with_core(stored["core"])

    # -- the loop ------------------------------------------------------------------------------------------------------

    def finish(self) -> Result:
        """Everything that is still to be done."""
        if self.record["phase"] != "done":
            self.samplers = self.study.samplers()
        while self.record["phase"] != "done":
            {"start": self._equilibrate, "sample": self._sample, "update": self._update}[self.record["phase"]]()
        return self._report()

    def _advance(self, phase: str, **changes: Any) -> None:
        self.record |= {"phase": phase} | changes
        self._save()

    def _equilibrate(self) -> None:
        """Start structures of all states at their temperatures under the base model."""
        from refine.sampling.structures import melt

        config = self.study.config.sampling
        correction = self.study.initial_correction()
        self.progress.stage("equilibrating", len(self.samplers))
        for s in range(len(self.current), len(self.samplers)):
            field, sampler = self.samplers[s]
            params, temperature = field.params(correction), self.study.problem.temperatures[s]
            seed = config.seed + 7919 * s
            if sampler.system.positions is None:
                state = melt(sampler, params, temperature, seed, config.equilibration)
            else:
                state = sampler.start(sampler.system.positions, temperature, seed)
                frames = self._frames_in(config.equilibration)
                if frames:
                    state, _ = sampler.run(state, params, temperature, frames, observe=False)
            self.current.append(state.to_arrays())
            self.progress.advance(1)
            self._save()
        self._advance("sample", next=_stored(correction))

    def _frames_in(self, picoseconds: float) -> int:
        config = self.study.config.sampling
        return int(np.ceil(picoseconds * 1000.0 / (config.timestep * config.stride)))

    def _sample(self) -> None:
        """Frames of every state under the next correction; goes on inside a sample that was interrupted."""
        from refine.sampling.dynamics import MDState

        config = self.study.config.sampling
        correction = self._correction(self.record["next"])
        number = len(self.samples)
        per_replica = max(4, int(np.ceil(config.frames * self.record["frames_factor"] / config.replicas)))
        settle = self._frames_in(config.reequilibration) if number else 0
        began = time.monotonic()
        self.progress.stage(
            f"sampling {number}" if number else "sampling the base model", len(self.samplers) * (settle + per_replica)
        )
        frames, ends = [], []
        for s, (field, sampler) in enumerate(self.samplers):
            arrays = self.current[s]
            state = MDState.from_arrays(_below(arrays, "dynamics") if "done" in arrays else arrays)
            done = int(arrays["done"]) if "done" in arrays else 0
            parts = [Frames.from_arrays(_below(arrays, "frames"))] if done > settle else []
            params, temperature = field.params(correction), self.study.problem.temperatures[s]
            self.progress.advance(done)
            while done < settle + per_replica:
                observe = done >= settle
                count = min(sampler.frames_per_block, (settle + per_replica if observe else settle) - done)
                state, piece = sampler.run(state, params, temperature, count, observe=observe)
                if observe:
                    parts.append(piece)
                done += count
                self.progress.advance(count)
                if time.monotonic() - self.saved > SAVE_INTERVAL:
                    self._keep(s, state, parts, done)
            frames.append(_in_order(parts))
            ends.append(state)
            self._keep(s, state, parts, done, write=len(self.samplers) > 1)
        self.samples.append(Sample(correction, tuple(frames)))
        self.ends.append(ends)
        self.current = []
        self._advance(
            "update",
            seconds_sampling=self.record.get("seconds_sampling", 0.0) + time.monotonic() - began,
        )

    def _keep(self, s: int, state: MDState, parts: Sequence[Frames], done: int, *, write: bool = True) -> None:
        """Store where the sample of one state stands."""
        arrays = {f"dynamics.{name}": value for name, value in state.to_arrays().items()}
        if parts:
            arrays |= {f"frames.{name}": value for name, value in _in_order(parts).to_arrays().items()}
        self.current[s] = arrays | {"done": np.asarray(done)}
        if write:
            self._save()

    def _update(self) -> None:
        """Judge the newest sample and decide what comes next."""
        study = self.study
        began = time.monotonic()
        update = study.rule.update(self.record["rule"], study.problem, self.samples)
        seconds = time.monotonic() - began
        diagnostics = dict(update.diagnostics)
        covariance = diagnostics.pop("covariance", None)
        sample = self.samples[-1]
        row = {
            "iteration": len(self.samples) - 1,
            "accepted": update.accepted,
            "reason": update.reason,
            "frames": int(sum(len(f) for f in sample.frames)),
            "seconds_sampling": self.record.pop("seconds_sampling", 0.0),
            "seconds_solving": seconds,
            **diagnostics,
        }
        iterations = [*self.record["iterations"], row]
        self.progress.message(self._words(row, update.reason))
        if self.record.get("last"):
            final = len(self.samples) - 1 if update.accepted else update.restart
            message = self.record["message"]
            if not update.accepted:
                message += "; the last step made it worse and was taken back"
            self._advance("done", iterations=iterations, final=final, message=message)
            return
        updates = len(self.samples)
        last = update.converged or updates >= study.config.refinement.iterations
        if last:
            self.record |= {
                "last": True,
                "status": "converged" if update.converged else "iterations-exhausted",
                "message": f"stopped after {updates} updates: {update.reason}"
                if update.converged
                else f"stopped at the limit of {updates} updates; raise refinement.iterations to go on",
                "covariance": None if covariance is None else covariance.tolist(),
            }
        core = np.min([_innermost(f) for f in sample.frames], axis=0)
        if len(self.samples) > 1:
            core = np.minimum(core, sample.correction.core)
        self.current = [state.to_arrays() for state in self.ends[update.restart]]
        self._advance(
            "sample",
            iterations=iterations,
            rule=update.state,
            next=_stored(update.correction.with_core(core)),
            frames_factor=max(update.frames_factor, study.config.sampling.final) if last else update.frames_factor,
        )

    def _words(self, row: dict[str, Any], reason: str) -> str:
        counts = [f.counts.mean(axis=0, dtype=np.float64) for f in self.samples[-1].frames]
        scores = ", ".join(f"{d.name} {d.measurement.r_chi(counts[d.state]):.4f}" for d in self.study.datasets)
        return f"iteration {row['iteration']}: R_chi {scores}" + (f"; {reason}" if reason else "")

    def _report(self) -> Result:
        record = self.record
        outcome = Outcome(
            study=self.study,
            samples=self.samples,
            final=record["final"],
            status=record["status"],
            message=record["message"],
            iterations=record["iterations"],
            covariance=None if record["covariance"] is None else np.array(record["covariance"]),
            seconds=record["seconds"],
            digest=self.digest,
        )
        make_folder(self.folder)
        return write_outcome(outcome, self.folder)


def _stored(correction: PairCorrection) -> dict[str, Any]:
    return {"coefficients": correction.coefficients.tolist(), "core": correction.core.tolist()}


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Entries whose name begins with the prefix and a dot, without it."""
    return {name.removeprefix(f"{prefix}."): v for name, v in arrays.items() if name.startswith(f"{prefix}.")}


def _in_order(parts: Sequence[Frames]) -> Frames:
    """Pieces of one trajectory as one, replica after replica."""
    joined = concatenate(parts)
    order = np.argsort(joined.replica, kind="stable")
    fields = {n: getattr(joined, n)[order] for n in ("counts", "energy", "virial", "temperature", "replica")}
    return Frames(**fields, r_max=joined.r_max, n_per_species=joined.n_per_species, volume=joined.volume)


def _innermost(frames: Frames) -> Array:
    """Smallest sampled distance of every pair, Å (pairs,): `CORE_COUNTS` pairs were seen below it."""
    below = np.cumsum(frames.counts.sum(axis=0, dtype=np.float64), axis=1)
    return frames.edges[1:][np.argmax(below >= CORE_COUNTS, axis=1)]
