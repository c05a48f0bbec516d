"""The picture of README.md: `python experiments/silica_mace/picture.py PICTURE RUN1 RUN2 RUN3`.

The corrections that were fitted to glasses of their own, each with its band of one standard error, and T(r) of the
first run before and after. Drawn with matplotlib, which comes with ASE.
"""

from __future__ import annotations

import json
import sys
import tomllib
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from refine.results.reader import read_curve_table

COLORS = ("orangered", "steelblue", "seagreen", "darkorchid", "goldenrod")


def main(picture: Path, runs: list[Path]) -> None:
    """One panel a pair, and one for T(r)."""
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    glasses = [Path(tomllib.loads((run / "study.toml").read_text())["system"]["structure"]).stem for run in runs]
    pairs = results[0]["correction"]
    figure, axes = plt.subplots(1, len(pairs) + 1, figsize=(4 * (len(pairs) + 1), 3.4), constrained_layout=True)
    for k, axis in enumerate(axes[:-1]):
        for glass, result, color in zip(glasses, results, cycle(COLORS), strict=False):
            r, phi, error = (np.array(result["correction"][k][key], float) for key in ("r", "phi", "stderr"))
            axis.plot(r, 1e3 * phi, color=color, linewidth=1.0, label=glass)
            axis.fill_between(r, 1e3 * (phi - error), 1e3 * (phi + error), color=color, alpha=0.2, linewidth=0)
        axis.set(xlabel="r (Å)", ylabel="φ (meV)", xlim=(1.4, 7.0), ylim=(-150, 150), title="-".join(pairs[k]["pair"]))
        axis.axhline(0.0, color="black", linewidth=0.4)
    axes[0].legend(frameon=False)

    curve = read_curve_table(runs[0] / "curves" / "neutron_tr.csv")
    before, after = (results[0][key]["r_chi"]["neutron_tr"] for key in ("initial", "final"))
    axis = axes[-1]
    axis.plot(curve.x, curve.measured, ".", color="black", markersize=3, label="measured")
    axis.plot(curve.x, curve.initial, color="slategray", linewidth=0.9, label=f"before, R_χ = {before:.3f}")
    axis.plot(curve.x, curve.final, color=COLORS[0], linewidth=1.1, label=f"after, R_χ = {after:.3f}")
    axis.set(
        xlabel="r (Å)",
        ylabel="T(r) (barn/Å²)",
        xlim=(1.2, 6.0),
        title=f"{glasses[0]}: not fitted as T(r)",
    )
    axis.legend(frameon=False, loc="upper right")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]])
