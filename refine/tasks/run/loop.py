"""One run in one folder: the loop, its checkpoint, and how it goes on after an interruption.

Everything random follows from the seed, every step is a pure function of what the checkpoint holds, and frames are
taken in pieces of fixed size, so a run that was killed and resumed ends with the numbers of one that was not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import CheckpointError, InputError
from refine.files import exclusive, make_folder, write_text
from refine.potentials.correction import PairCorrection
from refine.progress import NullProgress, Progress
from refine.refinement.convergence import Misfit, misfit
from refine.refinement.problem import MovingRule, Sample, TrajectoryRule, Update
from refine.refinement.walls import closest, innermost, refuse_r_min, walls
from refine.results.result import Result
from refine.results.writer import Outcome, write_outcome
from refine.sampling.frames import Frames, by_replica
from refine.sampling.jax.random_numbers import seed_of_state
from refine.study.datasets import DataSet, scored
from refine.tasks.run import store

if TYPE_CHECKING:
    from refine.sampling.jax.adjoint import Adjoint
    from refine.sampling.moves.reverse_monte_carlo import ReverseMonteCarlo
    from refine.sampling.state import MDState
    from refine.study.study import Study

Array = NDArray[np.float64]

SAVE_INTERVAL = 5.0
"""Seconds between checkpoints inside a sample. When one is written changes nothing in the run's numbers."""

OUTPUTS = ("run.h5", "result.json", "report.html", "study.toml", "curves", "g_r", "model.safetensors")
"""What a run leaves in its folder, and all that --overwrite removes."""


def run_study(
    study: Study,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Refine, and leave result.json, curves, g(r), run.h5 and report.html in `out`.

    Args:
        study: what is refined.
        out: output folder; default runs/<name of the study's folder> under the current one.
        resume: go on with the run in `out`.
        overwrite: throw away the run in `out`.
        progress: told what happens.

    Raises:
        RefineError: what the user can mend; the last good checkpoint stays.
    """
    folder = Path(out) if out is not None else study.config.default_out()
    progress = progress or NullProgress()
    study.stages_at_volume()
    if not study.problem.targets:
        raise InputError("there is nothing to fit", where="[[data]]", fix='give at least one data set role = "fit"')
    for data in study.datasets:
        for doubt in data.doubts:
            progress.message(f"warning: {doubt}")
    with exclusive(folder):
        return Run(study, folder, resume=resume, overwrite=overwrite, progress=progress).finish()


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
            "parent": None,
            "warnings": [],
            "seconds": 0.0,
        }
        self.current: list[dict[str, np.ndarray]] = []
        self.movers: list[ReverseMonteCarlo] | None = None
        self.adjoints: list[Adjoint] | None = None
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
                "coefficients": _terms(sample.correction),
                "core": sample.correction.core,
                "wall": sample.correction.wall,
                "parameters": np.zeros(0) if sample.parameters is None else sample.parameters,
                "gradients": {f"{s:04d}": windows for s, windows in enumerate(sample.gradients)},
                "frames": {f"{s:04d}": frames.to_arrays() for s, frames in enumerate(sample.frames)},
                "dynamics": {f"{s:04d}": state.to_arrays() for s, state in enumerate(ends)},
            }
            for sample, ends in zip(self.samples, self.ends, strict=True)
        ]
        store.save(self.path, store.Checkpoint(self.digest, self.record, samples, self.current))
        self.saved = time.monotonic()

    def _load(self) -> None:
        from refine.sampling.state import MDState

        loaded = store.load(self.path, self.digest)
        self.record, self.current = loaded.record, loaded.current
        for stored in loaded.samples:
            frames = [Frames.from_arrays(stored["frames"][s]) for s in sorted(stored["frames"])]
            parameters = stored["parameters"] if len(stored["parameters"]) else None
            gradients = [stored["gradients"][s] for s in sorted(stored.get("gradients", ()))]
            self.samples.append(Sample(self._correction(stored), tuple(frames), parameters, tuple(gradients)))
            self.ends.append([MDState.from_arrays(stored["dynamics"][s]) for s in sorted(stored["dynamics"])])

    def _correction(self, stored: dict[str, Any]) -> PairCorrection:
        correction = self.study.initial_correction()
        terms = np.asarray(stored["coefficients"], float)
        return correction.with_theta(terms[:, list(correction.active)].ravel()).with_core(
            stored["core"], stored["wall"]
        )

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
        from refine.sampling.starts import equilibrate
        from refine.sampling.state import MDState

        config = self.study.config.sampling
        correction, stages = self.study.initial_correction(), self.study.stages_at_volume()
        for stage in stages:
            self.progress.message(f"schedule: {stage.words()}")
        self.progress.stage("equilibrating", len(self.samplers))
        for s in range(len(self.current), len(self.samplers)):
            field, sampler = self.samplers[s]
            temperature = self.study.problem.temperatures[s]
            params = self.study.force_field_params(field, s, correction)
            seed = seed_of_state(config.seed, s)
            state = equilibrate(sampler, params, temperature, seed, config.equilibration, stages)
            self.current.append(state.to_arrays())
            self.progress.advance(1)
            self._save()
        nearest = [
            closest(positions, system.cell, system.n_per_species, correction.basis.r_min)
            for arrays, system in zip(self.current, self.study.systems, strict=True)
            for positions in MDState.from_arrays(arrays).positions
        ]
        refuse_r_min(correction, np.min(nearest, axis=0))  # now, and not after a sample
        self._advance("sample", next=_stored(correction))

    def _frames_in(self, picoseconds: float) -> int:
        config = self.study.config.sampling
        return int(np.ceil(picoseconds * 1000.0 / (config.timestep * config.stride)))

    def _sample(self) -> None:
        """Frames of every state under the next correction; goes on inside a sample that was interrupted."""
        from refine.sampling.state import MDState

        config = self.study.config.sampling
        following = self.record["next"]
        correction, parameters = self._correction(following), following.get("parameters")
        parameters = None if parameters is None else np.array(parameters)
        number = len(self.samples)
        per_replica = max(4, int(np.ceil(config.frames * self.record["frames_factor"] / config.replicas)))
        settle = self._settling(per_replica) if number else 0
        if self.record.get("last"):  # what is found now ends no run, and is said beside its results
            self.samplers = [(field, sampler.lenient()) for field, sampler in self.samplers]
        began = time.monotonic()
        self.progress.stage(
            f"sampling {number}" if number else "sampling the base model", len(self.samplers) * (settle + per_replica)
        )
        frames, ends = [], []
        for s in range(len(self.samplers)):
            arrays = self.current[s]
            state = MDState.from_arrays(_below(arrays, "dynamics") if "done" in arrays else arrays)
            done = int(arrays["done"]) if "done" in arrays else 0
            parts = [Frames.from_arrays(_below(arrays, "frames"))] if done > settle else []
            sampler, params, state = self._engine(s, state, correction, parameters)
            temperature = self.study.problem.temperatures[s]
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
            frames.append(by_replica(parts))
            ends.append(state)
            self._keep(s, state, parts, done, write=len(self.samplers) > 1)
        sample = Sample(correction, tuple(frames), parameters)
        if isinstance(self.study.rule, TrajectoryRule):
            sample, ends = self._differentiated(self.study.rule, sample, ends)
        self.samples.append(sample)
        self.ends.append(ends)
        self.current = []
        states = zip(self.study.config.states, self.samplers, strict=True)
        self.record["warnings"] = [f"{state.name}: {note}" for state, (_, s) in states for note in s.notes]
        self._advance(
            "update",
            seconds_sampling=self.record.get("seconds_sampling", 0.0) + time.monotonic() - began,
        )

    def _settling(self, frames: int) -> int:
        """Frames before those that count, after a change: picoseconds of dynamics, or a quarter of as many moves."""
        moving = isinstance(self.study.rule, MovingRule)
        return frames // 4 if moving else self._frames_in(self.study.config.sampling.reequilibration)

    def _engine(
        self, s: int, state: MDState, correction: PairCorrection, parameters: Array | None
    ) -> tuple[Any, Any, MDState]:
        """What makes frames of a state, its parameters, and the state as it takes it: dynamics, or moves after them."""
        field, sampler = self.samplers[s]
        rule = self.study.rule
        if not (isinstance(rule, MovingRule) and self.samples):
            return sampler, self.study.force_field_params(field, s, correction, parameters), state
        if self.movers is None:
            self.movers = self.study.movers(rule)
        if len(self.samples) == 1 and "step_length" not in state.thermostat:
            seed = seed_of_state(self.study.config.sampling.seed, s)
            state = self.movers[s].start(state.positions, self.study.problem.temperatures[s], seed)
        return self.movers[s], rule.nuisances(self.study.problem, s, self.samples[-1].frames[s]), state

    def _differentiated(
        self, rule: TrajectoryRule, sample: Sample, ends: list[MDState]
    ) -> tuple[Sample, list[MDState]]:
        """The sample with gradients of windows that start one after the other behind it, and where that ended."""
        from refine.sampling.jax.adjoint import starts_along

        if self.adjoints is None:
            self.adjoints = self.study.adjoints(rule.steps, self.study.config.refinement.clip)
        apart = max(1, rule.steps // (2 * self.study.config.sampling.stride))
        cotangents, gradients, after = rule.cotangents(self.study.problem, sample), [], []
        self.progress.stage("differentiating", rule.windows * len(self.samplers))
        for s, (field, sampler) in enumerate(self.samplers):
            params = self.study.force_field_params(field, s, sample.correction)
            temperature = self.study.problem.temperatures[s]
            starts, end = starts_along(sampler, ends[s], params, temperature, rule.windows, apart)
            windows = self.adjoints[s].gradients(
                starts, sample.correction, cotangents[s], on_window=lambda _: self.progress.advance(1)
            )
            gradients.append(windows.gradients)
            after.append(end)
        return replace(sample, gradients=tuple(gradients)), after

    def _keep(self, s: int, state: MDState, parts: Sequence[Frames], done: int, *, write: bool = True) -> None:
        """Store where the sample of one state stands."""
        arrays = {f"dynamics.{name}": value for name, value in state.to_arrays().items()}
        if parts:
            arrays |= {f"frames.{name}": value for name, value in by_replica(parts).to_arrays().items()}
        self.current[s] = arrays | {"done": np.asarray(done)}
        if write:
            self._save()

    def _update(self) -> None:
        """Judge the newest sample and decide what comes next."""
        study = self.study
        began = time.monotonic()
        update = study.rule.update(self.record["rule"], study.problem, self.samples)
        seconds = time.monotonic() - began
        sample = self.samples[-1]
        row = {
            "iteration": len(self.samples) - 1,
            "accepted": update.accepted,
            "reason": update.reason,
            "frames": int(sum(len(f) for f in sample.frames)),
            "seconds_sampling": self.record.pop("seconds_sampling", 0.0),
            "seconds_solving": seconds,
            **update.diagnostics,
            **self._change(),
        }
        iterations = [*self.record["iterations"], row]
        self.progress.message(self._words(row, update.reason))
        if self.record.get("last"):
            self._conclude(iterations, update)
            return
        updates = len(self.samples)
        last = update.converged or updates >= study.config.refinement.iterations
        if last:
            self.record |= {
                "last": True,
                "status": "converged" if update.converged else "iterations-exhausted",
                "message": f"stopped after {updates} updates: {update.reason}"
                if update.converged
                else f"stopped at the limit of {updates} updates; run again with higher refinement.iterations",
                "covariance": None if update.covariance is None else update.covariance.tolist(),
                "determination": update.determination,
            }
        core, wall = self._limits(update)
        self.current = [state.to_arrays() for state in self.ends[update.restart]]
        self._advance(
            "sample",
            iterations=iterations,
            rule=update.state,
            parent=update.restart,
            next=_stored(update.correction.with_core(core, wall), update.parameters),
            frames_factor=max(update.frames_factor, study.config.sampling.final) if last else update.frames_factor,
        )

    def _change(self) -> dict[str, float | None]:
        """chi^2 of the newest sample, and how it differs from that of the one whose potential was changed for it."""
        targets = self.study.problem.targets
        newest, parent = misfit(self.samples[-1], targets), self.record["parent"]
        since = newest.since(None if parent is None else misfit(self.samples[parent], targets).stored)
        return {
            "chi2_fitted": newest.chi2,
            "chi2_fitted_stderr": newest.error,
            "actual_decrease": since.decrease,
            "actual_decrease_error": since.error,
        }

    def _limits(self, update: Update) -> tuple[Array, Array]:
        """Where the next correction goes on as a straight line, and where its wall begins, (pairs,) Å each.

        A sample that was taken back says nothing: its potential may have let atoms in where none belong.
        """
        study, before = self.study, self.samples[update.restart].correction
        if not update.accepted:
            taken_back = self.samples[-1].correction
            return taken_back.core, taken_back.wall
        frames = self.samples[-1].frames
        nearest, wall = innermost(frames), walls(frames, study.onsets())
        if len(self.samples) == 1:
            refuse_r_min(before, nearest)
            return np.where(np.isfinite(nearest), nearest, before.basis.r_min), wall
        both = (wall > 0.0) & (before.wall > 0.0)  # zero: of a pair that was not seen
        lowest = np.where(both, np.minimum(wall, before.wall), np.maximum(wall, before.wall))
        return np.minimum(nearest, before.core), lowest

    def _conclude(self, iterations: list[dict[str, Any]], update: Update) -> None:
        """The sample that is the answer, and why the run ended.

        That is the newest one, unless another one's chi^2 is lower beyond sampling error, or its own is above that of
        the base model: then the one with the lowest. A run whose last sample rose has not converged.
        """
        found = [Misfit(row["chi2_fitted"], row["chi2_fitted_stderr"] ** 2, row["frames"]) for row in iterations]
        final = len(found) - 1
        lowest = int(np.argmin([one.chi2 for one in found]))
        status, message = self.record["status"], self.record["message"]
        rose = not update.accepted or found[-1].since(found[lowest].stored).rose
        if rose:
            final = lowest
        if found[final].chi2 > found[0].chi2:
            final = lowest
        if final == 0:
            status = "not-improved"
            message = f"no correction describes the data better than the base model, which is the answer; {message}"
        elif final != len(found) - 1:
            message += f"; the last sample is worse than iteration {final}, which is the answer"
            if rose and status == "converged":
                status = "iterations-exhausted"
                message += ": not converged after all"
        trusted = update.confirmed and final == len(found) - 1
        changes: dict[str, Any] = {"iterations": iterations, "final": final, "status": status, "message": message}
        changes["unconfirmed"] = not trusted and self.record["covariance"] is not None
        if final == 0:
            changes |= {"covariance": None, "determination": None, "unconfirmed": False}
        self._advance("done", **changes)

    def _words(self, row: dict[str, Any], reason: str) -> str:
        counts = [f.counts.mean(axis=0, dtype=np.float64) for f in self.samples[-1].frames]
        scores = ", ".join(f"{d.name} {self._r_chi(d, counts[d.state]):.4f}" for d in self.study.datasets)
        return f"iteration {row['iteration']}: R_chi {scores}" + (f"; {reason}" if reason else "")

    def _r_chi(self, data: DataSet, counts: Array) -> float:
        return scored(data, self.study.targets[data.name], counts)[1](counts)

    def _report(self) -> Result:
        from refine.report import write_report  # jinja2 is only loaded here

        record = self.record
        outcome = Outcome(
            study=self.study,
            samples=self.samples,
            final=record["final"],
            status=record["status"],
            message=record["message"],
            iterations=record["iterations"],
            covariance=None if record["covariance"] is None else np.array(record["covariance"]),
            unconfirmed=record.get("unconfirmed", False),
            warnings=record["warnings"],
            determination=record["determination"],
            seconds=record["seconds"],
            digest=self.digest,
        )
        make_folder(self.folder)
        summary = write_outcome(outcome, self.folder)
        write_report(self.folder)
        return Result(summary, self.samples[outcome.final].correction, outcome.covariance, self.folder)


def _stored(correction: PairCorrection, parameters: Array | None = None) -> dict[str, Any]:
    return {
        "coefficients": _terms(correction).tolist(),
        "core": correction.core.tolist(),
        "wall": correction.wall.tolist(),
        "parameters": None if parameters is None else parameters.tolist(),
    }


def _terms(correction: PairCorrection) -> Array:
    """Coefficients of all terms, (terms, pairs, size)."""
    return np.array([c for c in (correction.coefficients, correction.slope) if c is not None])


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Entries whose name begins with the prefix and a dot, without it."""
    return {name.removeprefix(f"{prefix}."): v for name, v in arrays.items() if name.startswith(f"{prefix}.")}
