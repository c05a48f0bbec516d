"""The gauntlet: measured and synthetic systems, each refined from a study that states only what a user must.

    python experiments/gauntlet/run.py [--only ROW ...] [--out FOLDER] [--data FOLDER] [--page FILE] [--budget small]

Rows are in `rows.py`, their studies beside it. A row that is done is not run again, one that was interrupted goes on
where it stopped; --page writes the table of all rows that are done. Measured files that are no part of this repository
are looked for below --data; a row without them says so. The exit code is 1 if a row ends worse than it began.

A curve ends worse if its R_chi has risen by more than twice the sampling error of the rise. "Covered" is, of synthetic
data, the share of phi(r) of all pairs that lies within the 68 and 95 % bands about the answer, from where g(r) reaches
0.2 to 0.5 Å before the cutoff; of a second start, the same for the difference of the two whole potentials.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import refine
from refine import Study
from refine.api.result import Result
from refine.errors import RefineError
from refine.files import make_folder, write_text
from refine.refinement.inference.posterior import band
from refine.results.schema import RESULT
from refine.tasks.run.store import CHECKPOINT

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is no package
from gauntlet.page import page
from gauntlet.rows import ROWS, Row, Synthetic
from laboratory import Laboratory

Array = NDArray[np.float64]
FOLDER = Path(__file__).parent
DONE = "row.json"

SPLINES: dict[str, Any] = {"r_min": 1.5, "r_cut": 8.0, "knots": 26}
"""Of hidden corrections."""

GRIDS = {"S(Q)": np.arange(0.4, 14.0, 0.04), "g(r)": np.arange(1.6, 9.0, 0.05)}
"""Points of synthetic curves, 1/Å or Å."""

SMALL = {
    "sampling.timestep": "1",
    "sampling.frames": "20",
    "sampling.stride": "5",
    "sampling.equilibration": "3",
    "sampling.reequilibration": "0.05",
    "sampling.final": "1",
    "refinement.iterations": "1",
}
"""Keys of a run that only shows that everything works. Stages of a schedule take 0.3 ps; what they heat has to cool."""

END = 0.5
"""Å before the cutoff that bands are not looked at: phi goes to zero there for everyone."""


def overrides(row: Row, tree: Mapping[str, Any], data: Path, small: bool) -> list[str]:
    """What is changed in the row's study; data: folder of its files, where they do not lie beside the study."""
    keys = {**row.start, **{key: value for key, (value, _) in row.beyond.items()}}
    if small:
        keys |= SMALL | {f"schedule.{k}.picoseconds": "0.3" for k in range(len(tree.get("schedule", [])))}
    if row.data or row.synthetic:
        keys |= {f"data.{k}.file": str(data / one["file"]) for k, one in enumerate(tree["data"])}
    return [f"{key}={value}" for key, value in keys.items()]


def laboratory(synthetic: Synthetic, tree: Mapping[str, Any], small: bool) -> Laboratory:
    """What makes the data of a row."""
    short: dict[str, Any] = {"frames": 20, "stride": 5, "picoseconds": 0.2} if small else {}
    own = {} if synthetic.model is None else {"model": synthetic.model}
    return Laboratory(
        {**tree, **own},
        synthetic.bumps,
        1 if small else synthetic.size,
        timestep=synthetic.timestep,
        **SPLINES,
        **short,
    )


def measure(lab: Laboratory, tree: Mapping[str, Any], folder: Path, noise: float) -> None:
    """The files that a study names; what is only scored has no noise."""
    make_folder(folder)
    for keys in tree["data"]:
        fitted = keys.get("role", "fit") == "fit"
        lab.measure(folder / keys["file"], GRIDS[keys["quantity"]], keys, noise if fitted else 0.0, stated=noise)


def md_steps(study: Study, result: Result) -> int:
    """Steps of dynamics from the packing to the answer, of all replicas together."""
    given = {key: value for key, value in study.config.sampling.model_dump().items() if value != "auto"}
    chosen = {one.key.removeprefix("sampling."): one.value for one in result.summary.chosen}
    keys = given | chosen
    per_frame = keys["stride"] * keys["timestep"] / 1000  # ps
    later = len(result.iterations) - 1
    waits = [keys["equilibration"]] + later * [keys["reequilibration"]]
    frames = sum(math.ceil(wait / per_frame) for wait in waits)
    stages = sum(one.picoseconds * 1000 / (one.timestep or keys["timestep"]) for one in study.config.schedule)
    sampled = sum(row.frames or 0 for row in result.iterations)
    return round(keys["replicas"] * (stages + keys["stride"] * frames) + keys["stride"] * sampled)


def shares(difference: Array, width: Array, seen: NDArray[np.bool_]) -> dict[str, float]:
    """Share within the 68 and the 95 % band, (pairs, r) each, every pair with the same weight."""
    within = {"68": 1.0, "95": 1.96}
    each = {
        name: [np.mean(np.abs(d)[s] < z * w[s]) for d, w, s in zip(difference, width, seen, strict=True)]
        for name, z in within.items()
    }
    return {name: float(np.mean(values)) for name, values in each.items()}


def against_hidden(lab: Laboratory, result: Result) -> dict[str, float] | None:
    """Shares of phi(r) within the bands about the answer; None where it has none."""
    if result.covariance is None or not result.confirmed:
        return None
    r = np.arange(2.0, SPLINES["r_cut"] - END, 0.05)
    difference = result.correction.energy(r) - lab.hidden.energy(r)
    return shares(difference, band(result.correction, result.covariance, r), r > lab.meets()[:, None])


def against_other(
    row: Row, study: Study, result: Result, out: Path, tree: Mapping[str, Any], files: Path
) -> dict[str, float] | str | None:
    """The same for the difference from the answer of another start."""
    assert row.same_as is not None
    folder = out / row.same_as / "run"
    if not (folder / RESULT).exists():
        return f"{row.same_as} has not been run"
    other = refine.open(folder)
    of_other = Study.from_toml(FOLDER / row.study, overrides(ROWS[row.same_as], tree, files, False))
    if result.covariance is None or other.covariance is None or not (result.confirmed and other.confirmed):
        return None
    pairs = result.g_r[study.config.states[0].name].values()
    meets = np.array([g.r[np.argmax(g.final > 0.2)] for g in pairs])
    r = np.arange(meets.min(), study.config.correction.r_cut - END, 0.05)
    base, other_base = study.base_energies(r), of_other.base_energies(r)
    assert base is not None
    assert other_base is not None
    difference = base + result.correction.energy(r) - other_base - other.correction.energy(r)
    width = np.hypot(band(result.correction, result.covariance, r), band(other.correction, other.covariance, r))
    return shares(difference, width, r > meets[:, None])


def run_row(name: str, out: Path, data: Path | None, small: bool) -> dict[str, Any]:
    """Refine one row and say what came; what is kept of it in its folder."""
    row, folder = ROWS[name], out / name
    tree = tomllib.loads((FOLDER / row.study).read_text(encoding="utf-8"))
    files, lab = folder / "data", None
    if row.synthetic is not None:
        lab = laboratory(row.synthetic, tree, small)
        if not all((files / keys["file"]).exists() for keys in tree["data"]):
            measure(lab, tree, files, row.synthetic.noise)
    elif row.data is not None:
        files = (data or Path()) / row.data
        if data is None or not all((files / keys["file"]).exists() for keys in tree["data"]):
            return {"failed": "data not at hand"}
    began = time.monotonic()
    study = Study.from_toml(FOLDER / row.study, overrides(row, tree, files.absolute(), small))
    result = study.run(folder / "run", resume=(folder / "run" / CHECKPOINT).exists())
    before, after = result.initial, result.final
    roles = {one.name: one.role for one in result.summary.data}
    rise = {curve: (after.r_chi[curve] or 0.0) - (x or 0.0) for curve, x in before.r_chi.items()}
    error = {c: math.hypot(before.r_chi_stderr.get(c) or 0.0, after.r_chi_stderr.get(c) or 0.0) for c in rise}
    covered: Any = "not asked"
    if row.synthetic is not None and row.synthetic.model is None:
        assert lab is not None
        covered = against_hidden(lab, result)
    elif row.same_as is not None:
        covered = against_other(row, study, result, out, tree, files.absolute())
    state = result.states[0]
    return {
        "status": result.status.value,
        "message": result.message,
        "samples": len(result.iterations),
        "taken_back": sum(not one.accepted for one in result.iterations),
        "md_steps": md_steps(study, result),
        "r_chi": {c: (roles[c], before.r_chi[c], after.r_chi[c], after.r_chi_stderr.get(c)) for c in rise},
        "worse": [curve for curve in rise if rise[curve] > 2.0 * error[curve]],
        "pressure": (
            *(state.pressure_initial_GPa, state.pressure_initial_GPa_stderr),
            *(state.pressure_GPa, state.pressure_GPa_stderr),
        ),
        "chosen": [f"{one.key} = {one.value:g} {one.unit}".strip() for one in result.summary.chosen],
        "covered": covered,
        "notes": result.summary.notes,
        "atoms": study.systems[0].n_atoms,
        "seconds": result.summary.seconds or time.monotonic() - began,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[2],
        "small": small,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the rows asked for that are not done, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(ROWS), nargs="+", default=list(ROWS), metavar="ROW")
    parser.add_argument("--out", type=Path, default=Path("runs/gauntlet"))
    parser.add_argument("--data", type=Path, help="folder of the measured files that are not in this repository")
    parser.add_argument("--page", type=Path, help="write the table of the rows that are done to this file")
    parser.add_argument("--budget", choices=("full", "small"), default="full")
    options = parser.parse_args(arguments)
    for name in options.only:
        kept = options.out / name / DONE
        if kept.exists():
            print(f"{name}: done", flush=True)
            continue
        try:
            found = run_row(name, options.out, options.data, options.budget == "small")
        except RefineError as error:
            found = {"failed": str(error)}
        print(f"{name}: {found.get('failed', found.get('message'))}", flush=True)
        make_folder(kept.parent)
        if "failed" not in found:
            write_text(kept, json.dumps(found, indent=1) + "\n")
        else:
            write_text(kept.with_name("failed.json"), json.dumps(found) + "\n")
    found = {}
    for name in ROWS:
        for file in (DONE, "failed.json"):
            if (path := options.out / name / file).exists():
                found[name] = json.loads(path.read_text(encoding="utf-8"))
                break
    text = page(ROWS, found)
    print(text)
    if options.page is not None:
        write_text(options.page, text)
    return int(any(found[name].get("worse") for name in options.only if name in found))


if __name__ == "__main__":
    sys.exit(main())
