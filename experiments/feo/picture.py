"""Table and picture of README.md: `python experiments/feo/picture.py runs/feo experiments/feo/feo.png`.

Reads what `refine compare` wrote; the neighbours within a distance are the integral of the partial g(r), which does not
depend on where a first minimum is seen. Drawn with matplotlib, which comes with ASE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from refine.results.ranking import value_words
from refine.results.reader import read_table
from refine.scattering.metrics import r_chi

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OXYGEN = 0.51
"""Atomic fraction."""

WITHIN = (2.5, 2.8, 3.1)
"""Å, distances in which the O around an Fe are counted."""

Array = NDArray[np.float64]


def curve(out: Path, label: str, name: str) -> dict[str, Array]:
    """Columns r, measured, model, model_stderr of D(r) of a data set."""
    return read_table(out / "compare" / label / f"{name}.csv")


def slope(partial: dict[str, Array]) -> float:
    """4 pi rho0, from D(r) = 4 pi rho0 r (g - 1) of a partial below the closest approach, where g = 0."""
    return -float(partial["model"][0] / partial["r"][0])


def neighbours(partial: dict[str, Array], distance: float) -> float:
    """O around Fe within a distance (Å): the integral of 4 pi rho0 c r^2 g, linear between the points."""
    r = partial["r"]
    shells = r * (partial["model"] + slope(partial) * r)
    end = np.interp(distance, r, shells)
    inside = r < distance
    return OXYGEN * float(np.trapezoid(np.append(shells[inside], end), np.append(r[inside], distance)))


def row(out: Path, model: dict[str, Any]) -> str:
    """One line of the table."""
    if model["failure"] is not None:
        return f"| `{model['label']}` | failed: {model['failure']} |"
    first, bond = (model["peaks"][name] for name in ("xray", "Fe-O"))
    around = next(n for n in model["coordination"]["melt"] if (n["centre"], n["other"]) == ("Fe", "O"))
    partial = curve(out, model["label"], "Fe-O")
    cells = [f"`{model['label']}`"]
    cells += [value_words(*score) for score in model["r_chi"].values()]
    cells += [value_words(peak["position"], peak["position_stderr"]) for peak in (first, bond)]
    cells += [f"{value_words(around['number'], around['stderr'])} ({around['radius']:.2f} Å)"]
    cells += [", ".join(f"{neighbours(partial, distance):.2f}" for distance in WITHIN)]
    found = {d["species"]: value_words(d["value"], d["stderr"]) for d in model["diffusion"].get("melt", ())}
    cells += [found.get(symbol, "–") for symbol in ("Fe", "O")]
    return "| " + " | ".join(cells) + " |"


def main(out: Path, picture: Path) -> None:
    """The table on the screen; D(r), measured and of every model that ran, and their partial g(r) in the picture."""
    found = json.loads((out / "compare.json").read_text())
    for model in found["models"]:
        print(row(out, model))
    ran = [model["label"] for model in found["models"] if model["failure"] is None]
    if not ran:
        raise SystemExit("no model ran: nothing to draw")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), constrained_layout=True)
    first, level = curve(out, ran[0], "xray"), slope(curve(out, ran[0], "Fe-O"))
    if "xray" in found["data"]:
        left.plot(first["r"], first["measured"], ".", color="black", markersize=3, label="measured")
    for label in ran:
        total, partial = curve(out, label, "xray"), curve(out, label, "Fe-O")
        r = partial["r"]
        left.plot(total["r"], total["model"], linewidth=1.1, label=label)
        right.plot(r, 1.0 + partial["model"] / (slope(partial) * r), linewidth=1.1, label=label)
    for label in ran[1:]:
        totals = [each["model"] + level * each["r"] for each in (first, curve(out, label, "xray"))]
        print(f"R_chi of {label} against {ran[0]}: {r_chi(*totals):.4f}")
    title = "x-rays" if "xray" in found["data"] else "x-rays: prediction, no measurement"
    left.set(xlabel="r (Å)", ylabel="D(r) (Å⁻²)", xlim=(1.0, 10.0), title=title)
    right.set(xlabel="r (Å)", ylabel="g(r) of Fe-O", xlim=(1.0, 10.0), title="the partial: prediction")
    for axis in (left, right):
        axis.legend(frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
