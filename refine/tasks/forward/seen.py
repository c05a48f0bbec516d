"""The frames of one state as its data sets see them: what `refine forward` and `refine predict` write and print alike.

Of a trajectory they are what was read, of a prediction what was sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from refine.refinement.inference.nuisance import Nuisance
from refine.results.derived import Coordination
from refine.results.scores import background_rms
from refine.sampling.averages import FRAMES_FOR_ERRORS
from refine.sampling.frames import Frames
from refine.study.datasets import Prediction
from refine.study.schema import State
from refine.system import Box
from refine.tasks.columns import aligned
from refine.tasks.forward import tables
from refine.tasks.forward.compared import Compared, ComparedNumber
from refine.tasks.forward.tables import Averages

FOLDERS = ("curves", "t_r", "g_r", "s_q")
"""Where the tables are: the first two by data set, the others by state."""


@dataclass(frozen=True)
class Seen:
    """Frames of one state as its data sets see them.

    Attributes:
        state, box: what they are frames of.
        frames: in bins of the box.
        scores, numbers, predictions: of the data sets of the state.
        coordination: mean numbers of neighbours.
        finer: into how many bins of `frames` each bin of the study is divided.
    """

    state: State
    box: Box
    frames: Frames
    scores: tuple[Compared, ...]
    numbers: tuple[ComparedNumber, ...]
    predictions: tuple[Prediction, ...]
    coordination: tuple[Coordination, ...]
    finer: int = 1

    @cached_property
    def averages(self) -> Averages:
        """Over the frames, in the bins of the curves."""
        return Averages(self.frames)

    def files(self) -> Iterator[tuple[str, str]]:
        """Texts of the tables by their names below a folder, one of `FOLDERS` first."""
        averages, narrow = self.averages, Averages(self.frames.merged(self.finer))  # g(r) in the study's bins
        for score in self.scores:
            yield f"curves/{score.data.name}.csv", tables.curve_table(averages, score)
            yield f"t_r/{score.data.name}.csv", tables.total_table(averages, score, self.box)
        for one in self.predictions:
            yield f"curves/{one.name}.csv", tables.prediction_table(averages, one)
        yield f"g_r/{self.state.name}.csv", tables.g_table(narrow, self.box.pairs)
        yield f"s_q/{self.state.name}.csv", tables.s_table(averages, self.scores, self.box)

    def to_json(self) -> dict[str, Any]:
        """Scores of the curves, numbers, names of predictions, and coordination numbers."""
        enough = self.averages.enough
        return {
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
                    "measured": one.measured[0],
                    "sigma": one.measured[1],
                    "unit": one.unit,
                    "value": one.score.value if one.score else None,
                    "stderr": one.score.stderr if one.score and enough else None,
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
                    "stderr": one.sampling_stderr if enough else None,
                }
                for one in self.coordination
            ],
        }

    def lines(self) -> list[str]:
        """What the terminal shows of it."""
        lines: list[str] = []
        if self.scores:
            rows = [("data", "curve", "R_chi", "over", "chi2/point")]
            for score in self.scores:
                chi2 = "-" if score.chi2 is None else f"{score.chi2 / score.points:.2f}"
                span = f"{score.span[0]:.3g} to {score.span[1]:.4g} Å"
                quantity = score.data.measurement.curve.quantity
                rows.append((score.data.name, quantity, with_error(score.r_chi, score.r_chi_stderr), span, chi2))
            lines += [*aligned(rows), ""]
        enough = self.averages.enough
        numbers = [
            (f"n({c.centre}-{c.other})", with_error(c.number, c.sampling_stderr if enough else None, 3))
            for c in self.coordination
        ]
        radii = [f"within {c.radius:.2f} Å" for c in self.coordination]
        lines += aligned([(*row, radius) for row, radius in zip(numbers, radii, strict=True)])
        lines += [self._of_number(one) for one in self.numbers]
        for score in self.scores:
            lines += [f"warning: {doubt}" for doubt in score.data.doubts]
        free = [s for s in self.scores if s.free != Nuisance()]
        lines += [f"{one.name}: predicted, nothing to compare with" for one in self.predictions]
        lines += [f"{s.data.name}: scale {s.free.scale:.4f}{_background(s)}" for s in free]
        if not enough:
            lines.append(
                f"no standard errors: {number_of_frames(len(self.frames))}, and {FRAMES_FOR_ERRORS} are needed"
            )
        return lines

    def _of_number(self, one: ComparedNumber) -> str:
        """The line of a measured number."""
        said = f"{one.entry.name}: {one.entry.quantity}"
        if one.score is None:
            return f"{said} cannot be compared: a trajectory holds neither energies nor forces"
        model = with_error(one.score.value, one.score.stderr if self.averages.enough else None, 3)
        unit = f" {one.unit}" if one.unit else ""
        return f"{said} {model}{unit}, measured {one.measured[0]:g} ± {one.measured[1]:g}{unit}"


def _background(score: Compared) -> str:
    """What is said of one that is free."""
    if len(score.free.background) == 1:
        return f", background {score.free.background[0]:.4g}"
    rms = background_rms(score.data, score.free)
    return "" if rms is None else f", smooth background of rms {rms:.4g}"


def with_error(value: float, stderr: float | None, decimals: int = 4) -> str:
    """A number and its standard error, where there is one.

    >>> with_error(1.25, None, 2), with_error(1.25, 0.5, 2)
    ('1.25', '1.25 ± 0.50')
    """
    return f"{value:.{decimals}f}" + ("" if stderr is None else f" ± {stderr:.{decimals}f}")


def number_of_frames(count: int) -> str:
    """So many frames, in words.

    >>> number_of_frames(1), number_of_frames(2)
    ('1 frame', '2 frames')
    """
    return f"{count} frame{'s' if count != 1 else ''}"
