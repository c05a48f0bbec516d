"""The picture of the project's README: `python experiments/argon/picture.py runs/argon_wrong docs/argon.png`.

Drawn with matplotlib, which comes with ASE.
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


def main(out: Path, picture: Path) -> None:
    """Three panels from the output folder of the argon study: S(Q), g(r), and the correction with its band."""
    result = json.loads((out / "result.json").read_text())
    curves = {name: read_curve_table(out / "curves" / f"{name}.csv") for name in ("yarnell", "yarnell_gr")}
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), constrained_layout=True)
    labels = {
        "yarnell": ("Q (1/Å)", "S(Q)", "measured, fitted"),
        "yarnell_gr": ("r (Å)", "g(r)", "measured, not fitted"),
    }
    for axis, (name, curve) in zip(axes, curves.items(), strict=False):
        x_label, y_label, role = labels[name]
        # model and measurement as they are compared, through the box: S(Q) of a g(r) cut at half of it ripples at low Q
        axis.plot(curve.x, curve.measured_box, ".", color="black", markersize=3, label=role)
        axis.plot(curve.x, curve.initial_box, "--", color="slategray", linewidth=1, label="before")
        axis.plot(curve.x, curve.final_box, color="orangered", linewidth=1.2, label="after")
        axis.set_xlabel(x_label)
        axis.set_ylabel(y_label)
        axis.legend(frameon=False)
    correction = result["correction"][0]
    r, phi = np.array(correction["r"]), 1000 * np.array(correction["phi"])
    seen = r > correction["core"]
    if correction["stderr"] is not None:  # none is stated where the last sample did not confirm the fit
        error = 1000 * np.array(correction["stderr"])
        low, high = (phi - 2 * error)[seen], (phi + 2 * error)[seen]
        axes[2].fill_between(r[seen], low, high, color="orangered", alpha=0.2, label="95 %")
    axes[2].plot(r[seen], phi[seen], color="orangered", label="correction")
    axes[2].axhline(0.0, color="gray", linewidth=0.5)
    axes[2].set_xlabel("r (Å)")
    axes[2].set_ylabel("φ(r) (meV)")
    axes[2].legend(frameon=False)
    before, after = (result[key]["r_chi"]["yarnell"] for key in ("initial", "final"))
    figure.suptitle(
        f"{result['title']}, from a wrong Lennard-Jones: R_χ of T(r) {before:.3f} → {after:.4f}", fontsize=11
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=90)
    g = curves["yarnell_gr"]
    near = (g.x >= 3.0) & (g.x <= 12.0)
    rms = float(np.sqrt(np.mean((g.measured - g.final)[near] ** 2)))
    sigma = result["data"][0]["sigma_mean"]
    print(f"R_chi {before:.4f} -> {after:.4f}; g(r) rms over 3 to 12 Å {rms:.3f}; estimated error of S(Q) {sigma:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
