"""What a rule found beside the correction: of each curve, of the step, and what only the rule itself knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FittedCurve:
    """What was fitted of one target together with the correction.

    Attributes:
        scale, scale_stderr: s of `refine.scattering.instrument`; 1 and 0 where it is not free.
        background, background_stderr: b, in units of the declared quantity; 0 where it is not free.
        noise_factor: on the errors that were estimated before the fit; 1 where the measurement states them.
    """

    scale: float
    scale_stderr: float
    background: float
    background_stderr: float
    noise_factor: float


@dataclass(frozen=True)
class Fitted:
    """What `Update` says beside the next correction; a row of the iteration table.

    Attributes:
        effective_sample_size: independent frames that the update rests on.
        step: size of the change of phi, kT (`refine.refinement.steps`).
        trust_radius: limit on the next one, kT; None: the rule has none.
        curves: by the target's name; empty for rules that fit nothing of a curve together with the correction.
        numbers: what only this rule knows, JSON values by the name that result.json has them under.
    """

    effective_sample_size: float
    step: float
    trust_radius: float | None = None
    curves: Mapping[str, FittedCurve] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The row as a run's record and result.json hold it."""
        row: dict[str, Any] = {"effective_sample_size": self.effective_sample_size, "step_kT": self.step}
        if self.trust_radius is not None:
            row["trust_radius"] = self.trust_radius
        if self.curves:
            curves = self.curves.items()
            row |= {
                "noise_factor": max(curve.noise_factor for curve in self.curves.values()),
                "noise_factors": {name: curve.noise_factor for name, curve in curves},
                "scales": {name: curve.scale for name, curve in curves},
                "scales_stderr": {name: curve.scale_stderr for name, curve in curves},
                "backgrounds": {name: curve.background for name, curve in curves},
                "backgrounds_stderr": {name: curve.background_stderr for name, curve in curves},
            }
        return row | dict(self.numbers)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Fitted:
        """From a row that `to_json` made, whatever else it holds; `numbers` are left where they are."""
        columns = ("scales", "scales_stderr", "backgrounds", "backgrounds_stderr", "noise_factors")
        curves = {name: FittedCurve(*(row[column][name] for column in columns)) for name in row.get("scales", {})}
        return cls(row["effective_sample_size"], row["step_kT"], row.get("trust_radius"), curves)
