"""The picture of README.md: `python experiments/silica/picture.py runs/silica experiments/silica/silica.png`.

Prints the first two maxima of T(r) before and after, too. Drawn with matplotlib, which comes with ASE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from refine.results.reader import read_curve_table
from refine.scattering.peaks import peak

PANELS = {
    "neutron_tr": ("r (Å)", "T(r) (barn/Å²)", "neutrons: fitted, as i(Q)", (1.0, 10.0)),
    "xray": ("Q (1/Å)", "Q i(Q)/⟨f²⟩ (1/Å)", "x-rays, not fitted", (0.6, 20.0)),
}


def main(out: Path, picture: Path) -> None:
    """T(r) of the neutrons and i(Q) of the x-rays, before and after, from the output folder of the silica study."""
    result = json.loads((out / "result.json").read_text())
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), constrained_layout=True)
    for axis, (name, (x_label, y_label, role, limits)) in zip(axes, PANELS.items(), strict=True):
        curve = read_curve_table(out / "curves" / f"{name}.csv")
        x = curve.x
        level = x if name == "xray" else np.ones_like(x)
        before, after = (result[key]["r_chi"][name] for key in ("initial", "final"))
        axis.plot(x, level * curve.measured, ".", color="black", markersize=3, label="measured")
        axis.plot(x, level * curve.initial, color="slategray", linewidth=0.9, label=f"before, R_χ = {before:.3f}")
        axis.plot(x, level * curve.final, color="orangered", linewidth=1.1, label=f"after, R_χ = {after:.3f}")
        axis.set(xlabel=x_label, ylabel=y_label, xlim=limits, title=role)
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + (0.35 * (high - low) if name == "xray" else 0.0))
        axis.legend(frameon=False, loc="lower right" if name == "neutron_tr" else "upper right")
    curve = read_curve_table(out / "curves" / "neutron_tr.csv")
    for column in ("measured", "initial", "final"):
        first, second = (peak(curve.x, getattr(curve, column), *limits) for limits in ((1.3, 2.0), (2.4, 2.9)))
        print(f"{column}: r(Si-O) {first.position:.4f} Å, height {first.height:.3f}; r(O-O) {second.position:.4f} Å")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
