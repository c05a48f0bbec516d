"""The picture of README.md, from the tables that glass.py leaves. Drawn with matplotlib, which comes with ASE.

python experiments/a_si/picture.py runs/a_si_sw.csv runs/a_si_tersoff.csv experiments/a_si/a_si.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(tables: list[Path], names: list[str], picture: Path) -> None:
    """T(r) of each model, cold and at its effective temperature, a panel for each."""
    figure, axes = plt.subplots(1, len(tables), figsize=(11, 3.6), sharey=True, constrained_layout=True)
    for axis, path, name in zip(axes, tables, names, strict=True):
        curves = np.genfromtxt(path, delimiter=",", names=True)
        r = curves["r"]
        axis.plot(r[::4], curves["measured"][::4], ".", color="black", markersize=3, label="measured at 10 K")
        axis.plot(r, curves["cold"], color="slategray", linewidth=0.9, label="classical, 10 K")
        axis.plot(r, curves["effective"], color="orangered", linewidth=1.1, label="at the effective temperature")
        axis.set(xlabel="r (Å)", xlim=(1.5, 8.0), title=name)
        axis.legend(frameon=False)
    axes[0].set_ylabel("T(r) (1/Å²)")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main([Path(table) for table in sys.argv[1:3]], ["Stillinger-Weber", "Tersoff"], Path(sys.argv[3]))
