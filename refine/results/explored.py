"""What `refine explore` leaves: a record of each generation, and explore.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from refine.learning.explore_keys import Stop

FORMAT = 1
"""Of explore.json."""


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error; None where that is not known."""

    value: float
    stderr: float | None


@dataclass(frozen=True)
class CurveScore:
    """R_chi of a measured curve under the model of a generation. role: "fit" or "score" of the study."""

    name: str
    role: str
    r_chi: float
    r_chi_stderr: float | None


@dataclass(frozen=True)
class Trust:
    """How the errors of energies of frames kept apart compare with their uncertainties.

    Attributes:
        alpha_meV_per_atom: of `refine.learning.rigidity`.
        rms: of error over sigma, each frame with alpha from the others; 1 if all is well.
        within_1_sigma, within_2_sigma: shares; 0.68 and 0.95 of normal errors.
        frames: how many.
    """

    alpha_meV_per_atom: float
    rms: float
    within_1_sigma: float
    within_2_sigma: float
    frames: int


@dataclass(frozen=True)
class Generation:
    """One turn of the loop; number 0 is the start, before anything is learnt.

    Attributes:
        sampled: which model the frames to choose from were sampled with, in words.
        chosen: how they were chosen, in words.
        labels, apart: frames labelled so far to learn from, and kept apart.
        left_out: labelled frames of this generation whose forces are too large.
        energy_meV_per_atom, forces_meV_per_angstrom: root mean square errors on all frames kept apart so far.
        trust: of the uncertainties; None where too few frames were kept apart.
        curves: R_chi of each under the model.
        failed: why its dynamics failed, and there is no R_chi; None: they did not.
        model: file of the model, relative to the folder; None: the start.
    """

    number: int
    sampled: str
    chosen: str
    labels: int
    apart: int
    left_out: int
    energy_meV_per_atom: Estimate | None
    forces_meV_per_angstrom: Estimate | None
    trust: Trust | None
    curves: tuple[CurveScore, ...]
    failed: str | None
    model: str | None

    @property
    def r_chi(self) -> Estimate | None:
        """Mean over the curves; None without."""
        if not self.curves:
            return None
        errors = [curve.r_chi_stderr for curve in self.curves]
        number = len(errors)
        stderr = sum(error**2 for error in errors if error is not None) ** 0.5 / number
        mean = sum(curve.r_chi for curve in self.curves) / number
        return Estimate(mean, None if None in errors else stderr)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Generation:
        """From `asdict` of it; KeyError or TypeError for anything else."""
        values = dict(tree)
        for name in ("energy_meV_per_atom", "forces_meV_per_angstrom"):
            values[name] = None if values[name] is None else Estimate(**values[name])
        values["trust"] = None if values["trust"] is None else Trust(**values["trust"])
        values["curves"] = tuple(CurveScore(**curve) for curve in values["curves"])
        return cls(**values)


@dataclass(frozen=True)
class Explored:
    """A loop, over or not.

    Attributes:
        title: of the file.  message: why it ended, or where it stands.  over: whether it ended.
        generations: the start first.
        best: number of the generation with the lowest error of the forces; None before the first.
        settings: the file, as it was carried out.  provenance: versions and machine.
    """

    title: str
    message: str
    over: bool
    generations: tuple[Generation, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Generation | None:
        """The generation with the lowest error of the forces."""
        learnt = [one for one in self.generations if one.forces_meV_per_angstrom is not None]
        return min(learnt, key=lambda one: _value(one.forces_meV_per_angstrom), default=None)

    def to_json(self) -> dict[str, Any]:
        """JSON values; units are in the keys."""
        return {
            "format": FORMAT,
            "title": self.title,
            "message": self.message,
            "over": self.over,
            "best": None if self.best is None else self.best.number,
            "generations": [asdict(one) for one in self.generations],
            "settings": dict(self.settings),
            "provenance": dict(self.provenance),
        }

    def rows(self) -> list[list[str]]:
        """A head, and a row for each generation, as text."""
        names = [curve.name for one in self.generations for curve in one.curves]
        names = list(dict.fromkeys(names))
        rows = [["generation", "labels", "energy (meV/atom)", "forces (meV/Å)", *(f"R_χ {name}" for name in names)]]
        for one in self.generations:
            scores = {curve.name: Estimate(curve.r_chi, curve.r_chi_stderr) for curve in one.curves}
            rows.append(
                [
                    str(one.number) if one.number else "start",
                    str(one.labels),
                    text_of(one.energy_meV_per_atom),
                    text_of(one.forces_meV_per_angstrom),
                    *(text_of(scores.get(name)) for name in names),
                ]
            )
        return rows


def text_of(estimate: Estimate | None) -> str:
    """Four digits, and two of the error.

    >>> text_of(Estimate(12.3456, 0.5)), text_of(Estimate(0.5, None)), text_of(None)
    ('12.35 ± 0.5', '0.5', '–')
    """
    if estimate is None:
        return "–"
    return f"{estimate.value:.4g}" + ("" if estimate.stderr is None else f" ± {estimate.stderr:.2g}")


def why_enough(generations: Sequence[Generation], stop: Stop) -> str | None:
    """Why a loop is over behind these generations, the start first; None: it is not."""
    if len(generations) < 2:
        return None
    last = generations[-1]
    if (stop.r_chi is not None or stop.forces is not None) and _reached(last, stop):
        return f"generation {last.number} is within what was asked for"
    if last.number >= stop.generations:
        return f"all {stop.generations} generations are done"
    idle = _idle(generations)
    if idle >= stop.patience:
        return f"neither the force error nor R_χ has fallen in {idle} generations"
    return None


def _reached(last: Generation, stop: Stop) -> bool:
    forces = stop.forces is None or _value(last.forces_meV_per_angstrom) <= stop.forces
    return forces and (stop.r_chi is None or (bool(last.curves) and max(c.r_chi for c in last.curves) <= stop.r_chi))


def _idle(generations: Sequence[Generation]) -> int:
    """Generations since the last one that bettered the force error or the mean R_chi by more than its error."""
    best, idle = [float("inf")] * 2, 0
    for one in generations:
        found = (one.forces_meV_per_angstrom, one.r_chi)
        better = [_value(x) < lowest - (x.stderr or 0.0 if x else 0.0) for x, lowest in zip(found, best, strict=True)]
        best = [min(_value(x), lowest) for x, lowest in zip(found, best, strict=True)]
        idle = 0 if any(better) or one.number == 0 else idle + 1
    return idle


def _value(estimate: Estimate | None) -> float:
    return float("inf") if estimate is None else estimate.value
