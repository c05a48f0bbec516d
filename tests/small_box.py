"""A study of 108 argon atoms with curves of its own making, small enough to be run whole in a test."""

from pathlib import Path

import numpy as np

STUDY = """
title = "A small box"
[system]
species = { Ar = 108 }
number_density = 0.02125
[[states]]
name = "85K"
temperature = 85.0
[[data]]
name = "sq"
file = "sq.csv"
quantity = "S(Q)"
radiation = "neutron"
isotopes = { Ar = 36 }
fit_q = [0.5, 11.0]
score_r = [3.0, 7.0]
[[data]]
name = "gr"
file = "gr.csv"
quantity = "g(r)"
radiation = "neutron"
q_range = [0.0, 40.0]
fit_r = [2.5, 7.5]
score_r = [3.0, 7.0]
role = "score"
[model]
base = "lennard-jones"
[model.parameters]
epsilon = 0.0095
sigma = 3.38
[correction]
knots = 16
r_min = 2.8
r_cut = 6.5
[sampling]
timestep = 5.0
equilibration = 2.0
reequilibration = 0.4
frames = 48
stride = 8
final = 1.0
replicas = 1
seed = 3
[refinement]
iterations = 2
"""


def write(folder: Path) -> Path:
    """study.toml with a liquid-like S(Q) to fit and its g(r) to score, in `folder`; its path."""
    q = np.arange(0.05, 11.9, 0.03)
    r = np.arange(0.05, 12.0, 0.05)
    shells = 2.0 * np.exp(-((r - 3.75) ** 2) / 0.12) + 0.25 * np.exp(-((r - 6.9) ** 2) / 0.7)
    g = (1 + shells - 0.35 * np.exp(-((r - 5.2) ** 2) / 0.7)) / (1 + np.exp(-(r - 3.35) / 0.07))
    fine = np.arange(0.005, 12.0, 0.01)
    h = np.interp(fine, r, g) - 1
    s = 1 + 4 * np.pi * 0.02125 * 0.01 * (np.sinc(np.outer(q, fine) / np.pi) * fine**2 * h).sum(axis=1)
    np.savetxt(folder / "sq.csv", np.column_stack([q, s]), delimiter=",", header="Q,S", comments="")
    np.savetxt(folder / "gr.csv", np.column_stack([r, g]), delimiter=",", header="r,g", comments="")
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"
