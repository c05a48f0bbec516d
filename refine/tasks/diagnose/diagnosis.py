"""What `refine diagnose` found, as numbers, as a table and in words."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from refine.tasks.diagnose import columns, prose, tables
from refine.tasks.diagnose.findings import CLEAR, NAMES, Explanation, NumberComparison, PeakComparison


@dataclass(frozen=True)
class Diagnosis:
    """What `refine diagnose` found.

    Attributes:
        data: names of the data sets taken together.
        frames: of each state.
        points: fitted.
        chi2, chi2_stderr: of the base model as `refine run` has it (`refine.refinement.convergence`): in units of the
            errors that are stated or estimated, the sampling noise taken off.
        weighed: the sum of squares that is taken apart, in units of all noise: the sampling's, and estimated errors
            times their `noise_factors`; excess and significance (in standard deviations) beyond noise.
        weighed_together: with all directions.
        expected_together: what it would be for noise alone.
        noise_factors: of data that state no errors, {name: factor on the estimated error}.
        best: the kind that explains most per parameter; None where there is no misfit to explain.
        numbers: measured numbers, each by itself; chi2 and what is taken apart are those of the curves.
        elsewhere: what to compare before a fit, in words.
        warnings: peaks that could not be compared, in words.
    """

    data: tuple[str, ...]
    frames: dict[str, int]
    points: int
    chi2: float
    chi2_stderr: float
    weighed: float
    excess: float
    significance: float
    weighed_together: float
    expected_together: float
    noise_factors: dict[str, float]
    best: str | None
    explanations: tuple[Explanation, ...]
    peaks: tuple[PeakComparison, ...]
    numbers: tuple[NumberComparison, ...]
    elsewhere: str
    warnings: tuple[str, ...]

    @property
    def clear(self) -> bool:
        """Whether there is a misfit beyond noise."""
        return self.significance > CLEAR

    def explanation(self, kind: str) -> Explanation:
        """Of one kind.

        Raises:
            KeyError: it does not apply to these data.
        """
        for one in self.explanations:
            if one.kind == kind:
                return one
        raise KeyError(kind)

    def to_json(self) -> str:
        """Everything, indented; numbers in the units that go with them."""
        return json.dumps(asdict(self) | {"words": self.words()}, indent=1, ensure_ascii=False) + "\n"

    def files(self) -> dict[str, str | None]:
        """What is written, by file: everything as JSON, and tables as CSV; None for a table without a row."""
        return {
            "diagnosis.json": self.to_json(),
            "diagnosis/directions.csv": columns.of_directions(self.explanations),
            "diagnosis/peaks.csv": columns.of_peaks(self.peaks) if self.peaks else None,
            "diagnosis/slopes.csv": columns.of_slopes(self.peaks) if self.peaks else None,
            "diagnosis/numbers.csv": columns.of_numbers(self.numbers) if self.numbers else None,
        }

    def table(self) -> str:
        """Plain text for a terminal."""
        lines = [
            f"chi^2 {self.chi2:.0f} ± {self.chi2_stderr:.0f} on {self.points} points; "
            f"{self.weighed:.0f} in units of all noise, {self.weighed_together:.0f} with all directions together",
            "",
            *tables.of_directions(self.explanations),
        ]
        if self.peaks:
            lines += ["", *tables.of_peaks(self.peaks), "", *tables.of_slopes(self.peaks)]
        if self.numbers:
            lines += ["", *tables.of_numbers(self.numbers)]
        return "\n".join(lines) + "\n"

    def words(self) -> list[str]:
        """The findings as sentences."""
        subject = " and ".join(self.data)
        said = []
        if not self.clear:
            said.append(
                f"The base model agrees with {subject} within the errors ({self.weighed:.0f} squares of the noise for "
                f"{self.points} points): there is no misfit to take apart."
            )
        else:
            said.append(
                f"The misfit of {subject} is {self.weighed:.0f} squares of the noise, that of the sampling included, "
                f"on {self.points} points, {self.significance:.0f} standard deviations beyond noise; all directions "
                f"together leave {self.weighed_together:.0f} (noise alone: {self.expected_together:.0f})."
            )
            ordered = sorted(self.explanations, key=lambda e: -(e.share or 0.0))
            said += [prose.sentence(one, subject) for one in ordered]
            assert self.best is not None
            said.append(f"The best single explanation for its number of parameters is a {NAMES[self.best]}.")
            said += list(prose.collinear(self.explanations))
            said.append(self.elsewhere)
        for name, factor in self.noise_factors.items():
            said.append(
                f"{name} states no errors: they were estimated from its ripple and multiplied by {factor:.2f}, so that "
                "all directions together leave about one square a point; what is left cannot judge the model."
            )
        said += [prose.structure(p) for p in self.peaks]
        said += [prose.of_number(n) for n in self.numbers]
        return said + list(self.warnings)
