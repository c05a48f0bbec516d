"""One derivative, as several methods give it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from refine.results.tables import csv_rows


@dataclass(frozen=True)
class Estimate:
    """One way's answer.

    Attributes:
        method: "fluctuation", "fluctuation, window", "backprop" or "finite differences".
        value, stderr: in units of the quantity per unit of the parameter.
        md_steps: of dynamics, all replicas together, equilibration included; for backprop those of its windows and of
            the frames that they start from.
        seconds: wall time.
        words: what belongs to it.
    """

    method: str
    value: float
    stderr: float
    md_steps: int
    seconds: float
    words: str = ""


@dataclass(frozen=True)
class Sensitivity:
    """The derivative of one quantity by one parameter.

    Attributes:
        of, parameter: as given.
        value, stderr: of the quantity itself.
        unit: of the parameter.
        estimates: the three ways, and the fluctuation formula for the window's length where frames are close enough.
        growth_ps, growth_norm: lengths of windows and the rms derivative of single ones.
        growth_exponent, growth_stderr: lambda of exp(lambda t), 1/ps; the variance grows with 2 lambda.
    """

    of: str
    parameter: str
    value: float
    stderr: float
    unit: str
    estimates: tuple[Estimate, ...]
    growth_ps: tuple[float, ...]
    growth_norm: tuple[float, ...]
    growth_exponent: float
    growth_stderr: float

    def by(self, method: str) -> Estimate:
        """The estimate of one method."""
        return next(estimate for estimate in self.estimates if estimate.method == method)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def files(self) -> dict[str, str]:
        """What is written, by file: everything as JSON, the ways and the growth with the window as CSV."""
        header = [
            "method",
            f"derivative [per {self.unit}]",
            f"stderr [per {self.unit}]",
            "md_steps",
            "seconds",
            "about",
        ]
        rows = [[e.method, e.value, e.stderr, e.md_steps, e.seconds, e.words or "averages"] for e in self.estimates]
        growth = zip(self.growth_ps, self.growth_norm, strict=True)
        return {
            "sensitivity.json": json.dumps(self.to_json(), indent=1) + "\n",
            "sensitivity/methods.csv": csv_rows(header, rows),
            "sensitivity/growth.csv": csv_rows(["window [ps]", f"rms_derivative [per {self.unit}]"], growth),
        }

    def table(self) -> str:
        """Plain text."""
        lines = [
            f"{self.of} = {self.value:.5g} ± {self.stderr:.2g}; its derivative by {self.parameter}, per {self.unit}:",
            f"{'method':<22}{'value':>12}{'error':>11}{'MD steps':>11}{'seconds':>9}",
        ]
        for e in self.estimates:
            words = f"  {e.words}" if e.words else ""
            lines.append(f"{e.method:<22}{e.value:>12.5g}{e.stderr:>11.2g}{e.md_steps:>11d}{e.seconds:>9.1f}{words}")
        lengths = ", ".join(f"{n:.3g} ({t:.2f} ps)" for t, n in zip(self.growth_ps, self.growth_norm, strict=True))
        lines.append(f"rms derivative of a single window: {lengths}")
        lines.append(
            f"it grows as exp(lambda t), lambda = {self.growth_exponent:.2f} ± {self.growth_stderr:.2f} 1/ps; "
            "the variance with twice that"
        )
        return "\n".join(lines)
