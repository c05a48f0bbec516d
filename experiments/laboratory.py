"""Measurements of a liquid that is known: the engine makes them under a hidden pair correction.

Benchmarks and gauntlet refine a base model against such curves and know what should come out. The laboratory has a
larger box and another seed than the fit, and its curves get white noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine import Study
from refine.curves.curve import Curve
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.sampling.frames import Frames
from refine.sampling.starts import melt
from refine.scattering.measurement import ForwardModel
from refine.study.schema import StudyConfig
from refine.study.study import WALL_STIFFNESS
from refine.system import Box
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

NACACL3 = {
    "Na-Na": (-1.0, 3.8, 0.4),
    "Na-Ca": (1.0, 4.0, 0.4),
    "Na-Cl": (-1.0, 3.0, 0.4),
    "Ca-Ca": (-2.0, 3.9, 0.4),
    "Ca-Cl": (1.5, 2.8, 0.4),
    "Cl-Cl": (1.0, 3.7, 0.4),
}
"""What bench and gauntlet hide in the melt of three species, as `Laboratory.bumps`."""

BETWEEN = {"scattered": {"role": "predict", "quantity": "S(Q)", "q_range": [0.5, 12.0], "radiation": "neutron"}}
"""A study wants a curve; the laboratory has none before it has measured."""


@dataclass(frozen=True)
class Laboratory:
    """A liquid and what is hidden in it.

    Attributes:
        tree: of a study: [system] species and number_density, one [[states]] and [model]; the rest is not looked at.
        bumps: of the hidden correction by pair, (height in kT, centre in Å, width in Å), a Gaussian each; none of pairs
            that are not there.
        size: how many times the atoms of the study.
        r_min, r_cut, knots: of the splines that the bumps are written in, Å.
        timestep: fs.  stride: steps between frames.  picoseconds: of melting before the first.
    """

    tree: Mapping[str, Any]
    bumps: Mapping[str, tuple[float, float, float]]
    size: int
    r_min: float
    r_cut: float
    knots: int
    timestep: float
    stride: int = 40
    frames: int = 300
    picoseconds: float = 15.0
    seed: int = 1000

    @property
    def temperature(self) -> float:
        """K."""
        return float(self.tree["states"][0]["temperature"])

    @property
    def kt(self) -> float:
        """eV."""
        return BOLTZMANN * self.temperature

    @cached_property
    def study(self) -> Study:
        """The larger box."""
        system = self.tree["system"]
        tree = {
            "system": {**system, "species": {name: self.size * n for name, n in system["species"].items()}},
            "states": self.tree["states"],
            "data": [{"name": name, **keys} for name, keys in BETWEEN.items()],
            "model": self.tree["model"],
            "correction": {"r_min": self.r_min, "r_cut": self.r_cut, "knots": self.knots},
            "sampling": {
                "timestep": self.timestep,
                "equilibration": self.picoseconds,
                "reequilibration": self.picoseconds,
                "frames": self.frames,
                "stride": self.stride,
                "replicas": 1,
                "seed": self.seed,
            },
        }
        return Study(StudyConfig.parse(tree))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Of the species, in the order of all arrays of pairs."""
        return self.study.pairs

    @cached_property
    def hidden(self) -> PairCorrection:
        """The bumps on the splines."""
        basis = SplineBasis(self.r_min, self.r_cut, self.knots)
        r = np.linspace(self.r_min, self.r_cut, 20 * self.knots)
        bumps = [self.bumps.get("-".join(pair), (0.0, 1.0, 1.0)) for pair in self.pairs]
        wanted = [self.kt * height * np.exp(-((r - centre) ** 2) / (2 * width**2)) for height, centre, width in bumps]
        theta = [np.linalg.lstsq(basis.values(r), bump, rcond=None)[0] for bump in wanted]
        zero = PairCorrection.zero(self.pairs, basis, stiffness=WALL_STIFFNESS * self.kt)
        return zero.with_theta(np.concatenate(theta))

    @cached_property
    def measured(self) -> Frames:
        """Frames under the hidden correction."""
        ((field, sampler),) = self.study.samplers()
        params = self.study.force_field_params(field, 0, self.hidden)
        state = melt(sampler, params, self.temperature, seed=self.seed, picoseconds=self.picoseconds)
        return sampler.run(state, params, self.temperature, self.frames)[1]

    @cached_property
    def box(self) -> Box:
        """What the frames are counted in."""
        return self.study.boxes[0]

    def meets(self) -> Array:
        """(pairs,) Å: where atoms of each pair meet, the first r at which g(r) reaches 0.2."""
        return self.box.centres[np.argmax(self.measured.pair_distribution() > 0.2, axis=1)]

    def curve(self, x: Array, keys: Mapping[str, Any]) -> Array:
        """What an instrument without noise sees at x (n,); keys: of a [[data]] table: quantity, radiation, isotopes,
        pair."""
        known = {key: keys[key] for key in ("quantity", "radiation", "isotopes") if key in keys}
        pair = {"pair": tuple(keys["pair"])} if "pair" in keys else {}
        blank = Curve(
            x=x,
            y=np.ones_like(x),
            composition=self.tree["system"]["species"],
            number_density=self.tree["system"]["number_density"],
            **known,
            **pair,
        )
        counts = self.measured.counts.mean(axis=0, dtype=np.float64)
        return ForwardModel(blank, self.box).measurement(None).in_box.predict(counts)

    def measure(self, path: Path, x: Array, keys: Mapping[str, Any], noise: float, stated: float | None = None) -> None:
        """Write columns x, y and sigma of a curve with white noise; stated: sigma, where it is not the noise.

        A curve's noise follows from the laboratory's seed and the file's name.
        """
        rng = np.random.default_rng([self.seed, *path.name.encode()])
        y = self.curve(x, keys) + noise * rng.normal(size=len(x))
        sigma = np.full_like(x, noise if stated is None else stated)
        np.savetxt(path, np.column_stack([x, y, sigma]), delimiter=",", fmt="%.6f")
