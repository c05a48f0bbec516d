"""The systems of `methods.py`: a study each, and the laboratory that makes its data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine import Study
from refine.study.schema import StudyConfig

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is no package
from laboratory import NACACL3, Laboratory

Array = NDArray[np.float64]

BIN = 0.02
"""Å."""


@dataclass(frozen=True)
class Liquid:
    """One of the systems: its study, and the laboratory that makes its data.

    Attributes:
        laboratory: the base model with what is hidden in it; the size of its box is in units of that of the fit.
        radiations: radiation -> further keys of its curve; none: what is fitted and scored are the partial g(r).
        x: points of the curves, 1/Å or Å.  noise: their standard deviation.  score_r: Å.
        stride, settle, equilibration: steps between frames, ps after each change, ps before the first sample.
        frames_factor: length of all samples, in those of argon.
        most: MD steps to IBI's plateau that are aimed at; None: a share of IBI's.
    """

    laboratory: Laboratory
    radiations: Mapping[str, Mapping[str, Any]]
    x: Array
    noise: float
    score_r: tuple[float, float] = (3.0, 10.0)
    stride: int = 20
    settle: float = 1.0
    equilibration: float = 12.0
    frames_factor: int = 1
    most: int | None = None

    @property
    def temperature(self) -> float:
        """K."""
        return self.laboratory.temperature

    @property
    def partials(self) -> dict[str, dict[str, Any]]:
        """Keys of the partial g(r), by name."""
        return {"-".join(pair): {"quantity": "g(r)", "pair": list(pair)} for pair in self.laboratory.pairs}

    @property
    def curves(self) -> dict[str, dict[str, Any]]:
        """Keys of what is fitted and scored, by name; IBI is given the partials."""
        totals = {name: {"quantity": "S(Q)", "radiation": name, **keys} for name, keys in self.radiations.items()}
        return totals or self.partials

    def measure(self, folder: Path) -> None:
        """The files of the study: every curve with and without noise, and every partial g(r) without."""
        for name, keys in self.curves.items():
            self.laboratory.measure(folder / f"{name}-noisy.csv", self.x, keys, self.noise)
            self.laboratory.measure(folder / f"{name}-clean.csv", self.x, keys, 0.0, stated=self.noise)
        centres = self.laboratory.box.centres
        for name, keys in self.partials.items():  # nearer than 1 Å a bin's ideal count is nothing
            self.laboratory.measure(folder / f"{name}.csv", centres[centres > 1.0], keys, 0.0, stated=0.01)

    def study(self, folder: Path, frames: int, refinement: Mapping[str, Any]) -> Study:
        """The base model refined with one rule, its table [refinement]; curves to compare with are without noise."""
        lab = self.laboratory
        common = {"score_r": list(self.score_r), "sigma": "file"}
        scored = [
            {"name": f"{name}-clean", "file": f"{name}-clean.csv", "role": "score", **common, **keys}
            for name, keys in self.curves.items()
        ]
        limits = {
            "S(Q)": {"fit_q": [float(self.x[0]) + 0.3, float(self.x[-1]) - 0.1]},
            "g(r)": {"fit_r": [max(1.9, lab.r_min - 0.3), lab.r_cut]},
        }
        given = {f"{name}-noisy": keys for name, keys in self.curves.items()}
        if refinement["method"] == "ibi":
            given = self.partials
        fitted = [
            {"name": name, "file": f"{name}.csv", **common, **limits[keys["quantity"]], **keys}
            for name, keys in given.items()
        ]
        tree = {
            **lab.tree,
            "data": [*fitted, *scored],
            "correction": {"knots": lab.knots, "r_min": lab.r_min, "r_cut": lab.r_cut},
            "sampling": {
                "timestep": lab.timestep,
                "equilibration": self.equilibration,
                "reequilibration": self.settle,
                "frames": frames,
                "stride": self.stride,
                "replicas": 1,
                "bin_width": BIN,
                "final": 1,
            },
            "refinement": dict(refinement),
        }
        return Study(StudyConfig.parse(tree, folder=folder))


def _lennard_jones(
    species: Mapping[str, int], rho: float, kelvin: float, epsilon: Any, sigma: Any
) -> Mapping[str, Any]:
    return {
        "system": {"species": species, "number_density": rho},
        "states": [{"name": "liquid", "temperature": kelvin}],
        "model": {"base": "lennard-jones", "parameters": {"epsilon": epsilon, "sigma": sigma}, "r_cut": 8.5},
    }


def _salt(species: Mapping[str, int], rho: float, charges: Mapping[str, int], repulsion: Mapping[str, float]) -> Any:
    """Full charges and Born's repulsion with one range for all pairs: crude, as molten salts begin."""
    return {
        "system": {"species": species, "number_density": rho},
        "states": [{"name": "melt", "temperature": 1100.0}],
        "model": {
            "base": "born-mayer",
            "charges": charges,
            "parameters": {"A": repulsion, "rho": dict.fromkeys(repulsion, 0.345)},
        },
    }


LIQUIDS = {
    "argon": Liquid(
        Laboratory(
            _lennard_jones({"Ar": 256}, 0.02125, 85.0, 0.010324, 3.405),
            bumps={"Ar-Ar": (0.5, 4.6, 0.5)},
            size=4,
            r_min=2.8,
            r_cut=8.5,
            knots=32,
            timestep=5.0,
        ),
        radiations={"neutron": {"isotopes": {"Ar": 36}}},
        x=np.arange(0.05, 12.0, 0.03),
        noise=0.004,
        most=7100,
    ),
    "binary": Liquid(
        Laboratory(
            _lennard_jones(
                {"Ar": 150, "Kr": 150},
                0.0165,
                220.0,
                {"Ar": 0.010324, "Kr": 0.01408},
                {"Ar": 3.405, "Kr": 3.64},
            ),
            bumps={"Ar-Ar": (0.3, 4.4, 0.5), "Ar-Kr": (-0.25, 4.3, 0.5), "Kr-Kr": (0.3, 4.9, 0.6)},
            size=3,
            r_min=2.8,
            r_cut=7.5,
            knots=24,
            timestep=5.0,
        ),
        radiations={"neutron": {"isotopes": {"Ar": 36}}, "xray": {}},
        x=np.arange(0.3, 12.0, 0.04),
        noise=0.01,
        frames_factor=2,
    ),
    "cacl2": Liquid(
        Laboratory(
            _salt(
                {"Ca": 72, "Cl": 144},
                0.0339,
                {"Ca": 2, "Cl": -1},
                {"Ca-Ca": 1239, "Ca-Cl": 1469, "Cl-Cl": 1548},
            ),
            bumps={"Ca-Ca": (-3.0, 3.7, 0.4), "Ca-Cl": (1.5, 2.8, 0.4), "Cl-Cl": (1.0, 3.7, 0.4)},
            size=3,
            r_min=1.8,
            r_cut=8.0,
            knots=26,
            timestep=2.0,
        ),
        radiations={},
        x=np.arange(1.6, 9.0, 0.05),
        noise=0.02,
        score_r=(2.0, 8.9),
        equilibration=8.0,
        frames_factor=2,
    ),
    "ternary": Liquid(
        Laboratory(
            _salt(
                {"Na": 50, "Ca": 50, "Cl": 150},
                0.0320,
                {"Na": 1, "Ca": 2, "Cl": -1},
                {"Na-Na": 830, "Na-Ca": 1010, "Na-Cl": 1150, "Ca-Ca": 1239, "Ca-Cl": 1469, "Cl-Cl": 1548},
            ),
            bumps=NACACL3,
            size=3,
            r_min=1.8,
            r_cut=8.0,
            knots=26,
            timestep=2.0,
        ),
        radiations={},
        x=np.arange(1.6, 9.0, 0.05),
        noise=0.02,
        score_r=(2.0, 8.9),
        equilibration=8.0,
        frames_factor=2,
    ),
    "silica": Liquid(
        Laboratory(
            {
                "system": {"species": {"Si": 128, "O": 256}, "number_density": 0.0662},
                "states": [{"name": "melt", "temperature": 3500.0}],
                "model": {"base": "pedone-2006"},
            },
            bumps={"Si-Si": (0.8, 3.3, 0.4), "Si-O": (0.5, 1.9, 0.3), "O-O": (-0.6, 2.8, 0.4)},
            size=3,
            r_min=0.9,
            r_cut=7.0,
            knots=24,
            timestep=1.0,
        ),
        radiations={"neutron": {}, "xray": {}},
        x=np.arange(0.5, 18.0, 0.05),
        noise=0.01,
        score_r=(1.3, 8.0),
        stride=60,
        equilibration=10.0,
        frames_factor=4,
    ),
}
