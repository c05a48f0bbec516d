"""Many finished runs as one table: a row a run, as CSV or JSON. refine.report.collected has the page.

What a run does not have, because its study has other data sets or an earlier version wrote it, is an empty field, and
null in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refine.results.schema import Summary
from refine.results.tables import csv_rows, plain

FORMAT = 1
"""Version of the JSON file."""

Cells = dict[str, str | float | None]
"""A row by the headers of its columns."""


@dataclass(frozen=True)
class CollectedRun:
    """A finished run.

    path: its folder, as it was given.  summary: its result.json.
    """

    path: Path
    summary: Summary

    @property
    def model(self) -> str:
        """The base model by its name, with the dispersion where one was added; empty where the file does not say."""
        used = self.summary.model
        if used is None:
            return ""
        return used.title if used.dispersion == "none" else f"{used.title} + {used.dispersion}"

    @property
    def method(self) -> str:
        """The rule; empty where the file does not say."""
        refinement = self.summary.study.get("refinement")
        method = refinement.get("method") if isinstance(refinement, dict) else None
        return method if isinstance(method, str) else ""

    @property
    def updates(self) -> int:
        """How often the potential was changed."""
        return max(0, len(self.summary.iterations) - 1)

    @property
    def device(self) -> str:
        """What it ran on; empty where the file does not say."""
        device = self.summary.provenance.get("device")
        return device if isinstance(device, str) else ""

    @property
    def version(self) -> str:
        """Of refine; empty where the file does not say."""
        versions = self.summary.provenance.get("versions")
        version = versions.get("refine") if isinstance(versions, dict) else None
        return version if isinstance(version, str) else ""

    def to_json(self) -> dict[str, Any]:
        """Text and numbers of the run; pressures in GPa, the chi^2 of a data set as a sum over its points."""
        one = self.summary
        before, after = one.initial, one.final
        return {
            "title": one.title,
            "model": self.model,
            "method": self.method,
            "status": one.status.value,
            "message": one.message,
            "updates": self.updates,
            "data": {
                name: {
                    "r_chi_initial": before.r_chi.get(name),
                    "r_chi_initial_stderr": before.r_chi_stderr.get(name),
                    "r_chi_final": after.r_chi.get(name),
                    "r_chi_final_stderr": after.r_chi_stderr.get(name),
                    "chi2_initial": before.chi2.get(name),
                    "chi2_final": after.chi2.get(name),
                    "points": after.points.get(name),
                }
                for name in after.r_chi
            },
            "numbers": {
                number.name: {
                    "quantity": number.quantity,
                    "unit": number.unit,
                    "measured": number.value,
                    "sigma": number.sigma,
                    "initial": number.initial,
                    "initial_stderr": number.initial_stderr,
                    "final": number.final,
                    "final_stderr": number.final_stderr,
                }
                for number in one.numbers
            },
            "pressures": {
                state.name: {
                    "initial": state.pressure_initial_GPa,
                    "initial_stderr": state.pressure_initial_GPa_stderr,
                    "final": state.pressure_GPa,
                    "final_stderr": state.pressure_GPa_stderr,
                }
                for state in one.states
            },
            "seconds": one.seconds,
            "device": self.device,
            "version": self.version,
            "path": str(self.path),
        }

    def cells(self) -> Cells:
        """The same in one row. A header is a name and, in brackets, the unit."""
        tree = self.to_json()
        data, numbers, pressures = (tree.pop(key) for key in ("data", "numbers", "pressures"))
        last = {key: tree.pop(key) for key in ("device", "version", "path")}
        row: Cells = {"seconds [s]" if key == "seconds" else key: value for key, value in tree.items()}
        for name, values in data.items():
            row |= {f"{name} {key}": value for key, value in values.items()}
        for name, values in numbers.items():
            unit = values.pop("unit")
            what = f"[{values.pop('quantity')}{', ' if unit else ''}{unit}]"
            row |= {f"{name} {key} {what}": value for key, value in values.items()}
        for name, values in pressures.items():
            row |= {f"{name} pressure_{key} [GPa]": value for key, value in values.items()}
        return row | last


def json_of(runs: Sequence[CollectedRun]) -> str:
    """A JSON text, an object a run in the order of `runs`."""
    tree = {"format": FORMAT, "runs": [plain(run.to_json()) for run in runs]}
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def csv_of(runs: Sequence[CollectedRun]) -> str:
    """Comma-separated text with the columns of all runs; those that are empty in every run are left out."""
    rows = [run.cells() for run in runs]
    last = ("device", "version", "path")
    header = [*dict.fromkeys(name for row in rows for name in row if name not in last), *last]
    text = csv_rows(header, [[row.get(name) for name in header] for row in rows])
    # a lone surrogate, which a JSON text can hold, has no UTF-8 form
    return text.encode("utf-8", errors="replace").decode("utf-8")
