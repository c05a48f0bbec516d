"""A sample that was judged: a row of the table of iterations, in a run's record and in result.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from refine.refinement.convergence import Misfit
from refine.refinement.fitted import Fitted, FittedCurve, Forecast
from refine.results.schema import Iteration

CURVES = ("scales", "scales_stderr", "backgrounds", "backgrounds_stderr", "noise_factors")
"""Columns of a row, each by the target's name, in the order of the attributes of `FittedCurve`."""

LUCKY = "a lucky sample, as later ones showed"
"""What is said of it."""


@dataclass(frozen=True)
class JudgedSample:
    """What the loop knows of a sample once the rule has answered it.

    Attributes:
        iteration: number of the sample; 0: that of the base model.
        accepted, reason: the rule's verdict (`refine.refinement.problem.Update`).
        frames: of all states together.
        fitted: what the rule found.
        chi2, chi2_stderr: of the fitted curves (`refine.refinement.convergence`), and its error from the sampling.
        decrease, decrease_stderr: of chi2, since the sample that this one was made from; None of the first.
        seconds_sampling, seconds_solving: wall time; None: a run of before does not say.
    """

    iteration: int
    accepted: bool
    reason: str
    frames: int
    fitted: Fitted
    chi2: float
    chi2_stderr: float
    decrease: float | None = None
    decrease_stderr: float | None = None
    seconds_sampling: float | None = None
    seconds_solving: float | None = None

    def __post_init__(self) -> None:
        if taken := self.fitted.numbers.keys() & Iteration.model_fields.keys():
            raise ValueError(f"{', '.join(sorted(taken))}: a rule's numbers must not have the names of other columns")

    @property
    def misfit(self) -> Misfit:
        """chi^2 as it is compared with that of other samples."""
        return Misfit(self.chi2, self.chi2_stderr**2, self.frames)

    def loss(self, points: int) -> Misfit:
        """What the rule lowers, as it is compared: chi^2 of so many points, and with replayed frames (`replay`, a
        number of the rule) their errors."""
        term = self.fitted.numbers.get("replay", 0.0)
        assert isinstance(term, int | float)
        return self.misfit.with_replay(term, points)

    def doubted(self) -> Self:
        """Not accepted after all: its chi^2 was low by chance."""
        return self._given_up(LUCKY)

    def left(self, iteration: int) -> Self:
        """Not accepted after all, if it was: a later step led back to an iteration before it."""
        return self._given_up(f"given up later, for iteration {iteration}") if self.accepted else self

    def _given_up(self, words: str) -> Self:
        if self.reason.endswith(words):
            return self
        return replace(self, accepted=False, reason="; ".join(filter(None, (self.reason, words))))

    def to_json(self) -> dict[str, Any]:
        """The row: JSON values."""
        row: dict[str, Any] = {
            "iteration": self.iteration,
            "accepted": self.accepted,
            "reason": self.reason,
            "frames": self.frames,
            "seconds_sampling": self.seconds_sampling,
            "seconds_solving": self.seconds_solving,
        }
        return (
            row
            | _columns(self.fitted)
            | {
                "chi2_fitted": self.chi2,
                "chi2_fitted_stderr": self.chi2_stderr,
                "actual_decrease": self.decrease,
                "actual_decrease_error": self.decrease_stderr,
            }
        )

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`, bit for bit. Raises KeyError or TypeError for what is no row."""
        curves = {name: _curve([row[column][name] for column in CURVES]) for name in row.get("scales", {})}
        forecast = None
        if "predicted_decrease" in row:
            forecast = Forecast(row["predicted_decrease"], row["gain"], row["prior_amplitude_kT"])
        return cls(
            iteration=row["iteration"],
            accepted=row["accepted"],
            reason=row["reason"],
            frames=row["frames"],
            fitted=Fitted(
                row["effective_sample_size"],
                row["step_kT"],
                row.get("trust_radius"),
                curves,
                forecast,
                {name: value for name, value in row.items() if name not in Iteration.model_fields},
            ),
            chi2=row["chi2_fitted"],
            chi2_stderr=row["chi2_fitted_stderr"],
            decrease=row["actual_decrease"],
            decrease_stderr=row["actual_decrease_error"],
            seconds_sampling=row.get("seconds_sampling"),
            seconds_solving=row.get("seconds_solving"),
        )


def _curve(values: list[Any]) -> FittedCurve:
    """In the order of `CURVES`; a row of before has the amplitude of a flat background as a number."""
    scale, scale_stderr, background, error, noise_factor = values
    if isinstance(background, int | float):
        background, error = ([background], [error]) if error else ([], [])  # without an error it was not free
    return FittedCurve(scale, scale_stderr, background, error, noise_factor)


def _columns(fitted: Fitted) -> dict[str, Any]:
    """What a rule found as columns of its row; none for what the rule does not have."""
    columns: dict[str, Any] = {"effective_sample_size": fitted.effective_sample_size, "step_kT": fitted.step}
    if fitted.trust_radius is not None:
        columns["trust_radius"] = fitted.trust_radius
    if fitted.curves:
        curves = fitted.curves.items()
        columns |= {
            "noise_factor": max(curve.noise_factor for curve in fitted.curves.values()),
            "noise_factors": {name: curve.noise_factor for name, curve in curves},
            "scales": {name: curve.scale for name, curve in curves},
            "scales_stderr": {name: curve.scale_stderr for name, curve in curves},
            "backgrounds": {name: list(curve.background) for name, curve in curves},
            "backgrounds_stderr": {name: list(curve.background_stderr) for name, curve in curves},
        }
    if fitted.forecast is not None:
        columns |= {
            "predicted_decrease": fitted.forecast.decrease,
            "gain": fitted.forecast.gain,
            "prior_amplitude_kT": fitted.forecast.prior_amplitude,
        }
    return columns | dict(fitted.numbers)
