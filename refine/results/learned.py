"""What `refine learn` leaves: learn.json and learning_curve.csv, read off one record."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refine.learning.errors import Errors, Moved, Row
from refine.units import PRESSURE_UNIT

FORMAT = 1
"""Of learn.json."""


@dataclass(frozen=True)
class Learned:
    """A training that is over.

    Attributes:
        title: of the file.
        message: why it ended.
        start: of the model that it began with: "origin", "sha256", "head".
        parameters: names of what was moved. weights: how many numbers these are.
        frames: numbers of frames in "train", "valid" and "test", in their order those that have a part in.
        moved: how far each array went.
        before, after: errors by part: of the start model as it is, and of the model that was written.
        curve: a row for each epoch, first one for the start.
        best: epoch whose average was written; 0: the start.
        steps: of the optimiser.
        warnings: in words.
        isolated: by element, what was added to the energy of its isolated atom, eV; empty where nothing was.
        settings: the file, as it was carried out.
        seconds: of all parts of the training together.
        provenance: versions and machine.
    """

    title: str
    message: str
    start: Mapping[str, str]
    parameters: tuple[str, ...]
    weights: int
    frames: Mapping[str, int]
    before: Mapping[str, Errors]
    after: Mapping[str, Errors]
    curve: tuple[Row, ...]
    best: int
    steps: int
    moved: tuple[Moved, ...] = ()
    warnings: tuple[str, ...] = ()
    isolated: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str, float | None, float | None]]:
        """Part, kind of error, and the error before and after, of all kinds that there are labels for."""
        found = []
        for part in self.frames:
            before, after = in_units(self.before[part]), in_units(self.after[part])
            kinds = [(label, before[key], after[key]) for key, label in UNITS.items()]
            found += [(part, *kind) for kind in kinds if kind[2] is not None]
        return found

    def table(self) -> str:
        """The errors as text."""
        lines = [f"{'':6} {'':18} {'before':>10} {'after':>10}"]
        for part, label, before, after in self.rows():
            lines.append(f"{part:6} {label:18} {value_text(before):>10} {value_text(after):>10}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """JSON values; units are in the keys."""
        return {
            "format": FORMAT,
            "title": self.title,
            "message": self.message,
            "start": dict(self.start),
            "parameters": list(self.parameters),
            "weights": self.weights,
            "warnings": list(self.warnings),
            "moved": [
                {"name": one.name, "rank": one.rank, "rms_before": one.before, "rms_change": one.change}
                for one in self.moved
            ],
            "frames": dict(self.frames),
            "errors": {
                part: {"before": in_units(self.before[part]), "after": in_units(self.after[part])}
                for part in self.frames
            },
            "epochs": self.curve[-1].epoch,
            "best_epoch": self.best,
            "steps": self.steps,
            "isolated_shift_eV": dict(self.isolated),
            "settings": dict(self.settings),
            "seconds": self.seconds,
            "provenance": dict(self.provenance),
        }

    def curve_csv(self) -> str:
        """learning_curve.csv."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        units = in_units(self.curve[0].validation)
        writer.writerow(["epoch", "learning_rate", "training_loss", *(f"validation_{name}" for name in units)])
        for row in self.curve:
            values = [row.learning_rate, row.training, *in_units(row.validation).values()]
            writer.writerow([row.epoch, *("" if value is None else f"{value:.8g}" for value in values)])
        return text.getvalue()


UNITS = {
    "loss": "loss",
    "energy_meV_per_atom": "energy (meV/atom)",
    "forces_meV_per_angstrom": "forces (meV/Å)",
    "stress_GPa": "stress (GPa)",
}
"""What the keys of `in_units` are called."""


def value_text(value: float | None) -> str:
    """Four digits, as tables have them."""
    return "–" if value is None else f"{value:.4g}"


def in_units(errors: Errors) -> dict[str, float | None]:
    """Errors in the units that they are read in, which their keys name; None where there was no label.

    >>> in_units(Errors(0.25, 0.002, 0.05, None))
    {'loss': 0.25, 'energy_meV_per_atom': 2.0, 'forces_meV_per_angstrom': 50.0, 'stress_GPa': None}
    """
    return {
        "loss": errors.loss,
        "energy_meV_per_atom": _times(errors.energy, 1e3),
        "forces_meV_per_angstrom": _times(errors.forces, 1e3),
        "stress_GPa": _times(errors.stress, PRESSURE_UNIT),
    }


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
