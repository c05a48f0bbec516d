"""A trajectory as the data sets of one state see it: numbers, table, files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refine.errors import CheckpointError
from refine.files import exclusive, make_folder, write_text
from refine.refinement.inference.nuisance import Nuisance
from refine.results.derived import Coordination
from refine.results.schema import RESULT
from refine.results.scores import background_rms
from refine.results.tables import plain
from refine.sampling.averages import FRAMES_FOR_ERRORS
from refine.sampling.frames import Frames
from refine.sampling.trajectories import CountedTrajectory
from refine.study.datasets import Prediction
from refine.study.schema import State, StudyConfig
from refine.system import Box
from refine.tasks.columns import aligned
from refine.tasks.forward import tables
from refine.tasks.forward.compared import Compared, ComparedNumber
from refine.tasks.forward.tables import Averages
from refine.tasks.outputs import refuse_foreign, refuse_inputs
from refine.tasks.run.store import CHECKPOINT

OUTPUTS = ("curves", "t_r", "g_r", "s_q", "forward.json")
"""What is written to the folder."""


def check_out(config: StudyConfig, folder: Path, trajectory: Path) -> None:
    """Refuses a folder with a run, with files that are read, or with outputs that are of something else."""
    if (folder / CHECKPOINT).exists() or (folder / RESULT).exists():
        raise CheckpointError("this folder holds a run", where=str(folder), fix="give another --out")
    refuse_inputs(config, [folder / name for name in OUTPUTS], [trajectory])
    refuse_foreign(folder, OUTPUTS, "forward.json")


@dataclass(frozen=True)
class Forward:
    """A trajectory as the data sets of one state see it."""

    trajectory: Path
    config: StudyConfig
    counted: CountedTrajectory
    box: Box
    scores: tuple[Compared, ...]
    numbers: tuple[ComparedNumber, ...]
    predictions: tuple[Prediction, ...]
    coordination: tuple[Coordination, ...]
    frames: Frames
    finer: int
    factor: float = 1.0

    @property
    def state(self) -> State:
        """The study's state that the trajectory stands for."""
        return self.config.states[0]

    @property
    def averages(self) -> Averages:
        """Over the frames, in the bins of the curves."""
        return Averages(self.frames)

    def write(self, folder: Path) -> None:
        """forward.json, and the tables curves/, t_r/ (by data set), g_r/ and s_q/ (by state), in `folder`."""
        averages, narrow = self.averages, Averages(self.frames.merged(self.finer))  # g(r) in the study's bins
        with exclusive(folder):
            check_out(self.config, folder, self.trajectory)
            for name in ("curves", "t_r", "g_r", "s_q"):
                make_folder(folder / name)
            for score in self.scores:
                write_text(folder / "curves" / f"{score.data.name}.csv", tables.curve_table(averages, score))
                write_text(folder / "t_r" / f"{score.data.name}.csv", tables.total_table(averages, score, self.box))
            for one in self.predictions:
                write_text(folder / "curves" / f"{one.name}.csv", tables.prediction_table(averages, one))
            write_text(folder / "g_r" / f"{self.state.name}.csv", tables.g_table(narrow, self.box.pairs))
            write_text(folder / "s_q" / f"{self.state.name}.csv", tables.s_table(averages, self.scores, self.box))
            write_text(folder / "forward.json", json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    def to_json(self) -> dict[str, Any]:
        """What forward.json holds."""
        system = self.counted.system
        table = {
            "title": self.config.title,
            "trajectory": str(self.trajectory),
            "state": self.state.name,
            "frames": self.counted.read,
            "atoms": dict(zip(system.species, system.n_per_species, strict=True)),
            "number_density": system.number_density,
            "cell": system.cell,
            "volumes": self.counted.volumes,
            "rescaled_by": self.factor,
            "r_box": self.box.r_max,
            "data": [
                {
                    "name": score.data.name,
                    "quantity": score.data.measurement.curve.quantity,
                    "normalisation": score.data.measurement.curve.normalisation,
                    "radiation": score.data.measurement.curve.radiation or "partial",
                    "r_chi": score.r_chi,
                    "r_chi_stderr": score.r_chi_stderr,
                    "score_r": score.span,
                    "chi2": score.chi2,
                    "points": score.points,
                    "compared": score.data.fit.words,
                    "scale": score.free.scale,
                    "background": score.free.background[0] if len(score.free.background) == 1 else None,
                    "background_rms": background_rms(score.data, score.free),
                    "warnings": list(score.data.doubts),
                }
                for score in self.scores
            ],
            "numbers": [
                {
                    "name": one.entry.name,
                    "quantity": one.entry.quantity,
                    "measured": one.entry.value,
                    "sigma": one.entry.sigma,
                    "value": one.score.value if one.score else None,
                    "stderr": one.score.stderr if one.score and self.averages.enough else None,
                }
                for one in self.numbers
            ],
            "predictions": [one.name for one in self.predictions],
            "coordination": [
                {
                    "centre": one.centre,
                    "other": one.other,
                    "radius": one.radius,
                    "number": one.number,
                    "stderr": one.sampling_stderr if self.averages.enough else None,
                }
                for one in self.coordination
            ],
        }
        return dict(plain(table))

    def table(self) -> str:
        """What the terminal shows."""
        system, low, high = self.counted.system, *self.counted.volumes
        atoms = ", ".join(f"{n} {name}" for name, n in zip(system.species, system.n_per_species, strict=True))
        density = f"{system.number_density:.5f} atoms/Å^3"
        if high > low * (1 + 1e-9):
            density += f" on average (volume {low:.0f} to {high:.0f} Å^3)"
        reach = f"g(r) to {self.box.r_max:.2f} Å"
        lines = [f"{self.trajectory.name}: {_frames(self.counted.read)} of {atoms}, {density}, {reach}", ""]
        if self.factor != 1.0:
            lines.insert(
                1, f"all lengths times {self.factor:.5f}: the density is the study's, and every bond longer or shorter"
            )
        rows = [("data", "curve", "R_chi", "over", "chi2/point")]
        for score in self.scores:
            chi2 = "-" if score.chi2 is None else f"{score.chi2 / score.points:.2f}"
            span = f"{score.span[0]:.3g} to {score.span[1]:.4g} Å"
            quantity = score.data.measurement.curve.quantity
            rows.append((score.data.name, quantity, _with_error(score.r_chi, score.r_chi_stderr), span, chi2))
        lines += [*aligned(rows), ""]
        numbers = [
            (f"n({c.centre}-{c.other})", _with_error(c.number, c.sampling_stderr if self.averages.enough else None, 3))
            for c in self.coordination
        ]
        radii = [f"within {c.radius:.2f} Å" for c in self.coordination]
        lines += aligned([(*row, radius) for row, radius in zip(numbers, radii, strict=True)])
        lines += [self._of_number(one) for one in self.numbers]
        for score in self.scores:
            lines += [f"warning: {doubt}" for doubt in score.data.doubts]
        free = [s for s in self.scores if s.free != Nuisance()]
        lines += [f"{one.name}: predicted, nothing to compare with" for one in self.predictions]
        lines += [f"{s.data.name}: scale {s.free.scale:.4f}{self._background(s)}" for s in free]
        if not self.averages.enough:
            lines.append(f"no standard errors: {_frames(len(self.frames))}, and {FRAMES_FOR_ERRORS} are needed")
        return "\n".join(lines)

    @staticmethod
    def _background(score: Compared) -> str:
        """What is said of one that is free."""
        if len(score.free.background) == 1:
            return f", background {score.free.background[0]:.4g}"
        rms = background_rms(score.data, score.free)
        return "" if rms is None else f", smooth background of rms {rms:.4g}"

    def _of_number(self, one: ComparedNumber) -> str:
        """The line of a measured number."""
        said = f"{one.entry.name}: {one.entry.quantity}"
        if one.score is None:
            return f"{said} cannot be compared: a trajectory holds neither energies nor forces"
        model = _with_error(one.score.value, one.score.stderr if self.averages.enough else None, 3)
        return f"{said} {model}, measured {one.entry.value:g} ± {one.entry.sigma:g}"


def _with_error(value: float, stderr: float | None, decimals: int = 4) -> str:
    return f"{value:.{decimals}f}" + ("" if stderr is None else f" ± {stderr:.{decimals}f}")


def _frames(count: int) -> str:
    return f"{count} frame{'s' if count != 1 else ''}"
