"""A trajectory against curves of isotopic substitution, a mixture without mean scattering length among them."""

from pathlib import Path

import numpy as np
import pytest

from refine.curves.weights import scattering_lengths
from refine.study.schema import StudyConfig
from refine.tasks.forward import forward
from tests.commands import columns
from tests.trajectories import frames, write_extxyz

B_1H, B_2H, B_O = -3.7395, 6.6681, 5.8037
NULL = round((-0.5 * B_O - B_1H) / (B_2H - B_1H), 9)

STUDY = """
title = "Hydrogen and oxygen"
[system]
species = { H = 80, O = 40 }
number_density = 0.1
[[states]]
name = "a"
temperature = 300.0
"""

MODEL = """
[model]
base = "lennard-jones"
parameters = { epsilon = 0.01, sigma = 2.5 }
[correction]
r_cut = 5.0
"""

CURVES = {
    "heavy": ("F(Q)", "{ H = 2 }"),
    "half": ("F(Q)", "{ H = { 1 = 0.5, 2 = 0.5 } }"),
    "null": ("F(Q)", f"{{ H = {{ 1 = {1 - NULL}, 2 = {NULL} }} }}"),
    "null_q": ("Q[S(Q)-1]", f"{{ H = {{ 1 = {1 - NULL}, 2 = {NULL} }} }}"),
}


def study(folder: Path, role: str) -> StudyConfig:
    text = STUDY
    for name, (quantity, isotopes) in CURVES.items():
        given = "q_range = [0.4, 18.0]\n" if role == "predict" else f'file = "curves/{name}.csv"\n'
        text += f'[[data]]\nname = "{name}"\nrole = "{role}"\n{given}quantity = "{quantity}"\nnormalisation = "keen"\n'
        text += f'radiation = "neutron"\nisotopes = {isotopes}\n'
    path = folder / f"{role}.toml"
    path.write_text(text + MODEL)
    return StudyConfig.from_toml(path)


@pytest.mark.slow
def test_curves_of_one_series_are_of_one_trajectory(tmp_path: Path) -> None:
    np.testing.assert_allclose(scattering_lengths(["H", "H", "O"], {"H": 2})[1:], [B_2H, B_O])
    cell = np.eye(3) * (120 / 0.1) ** (1 / 3)
    path = write_extxyz(tmp_path / "water.xyz", frames(2, {"H": 80, "O": 40}, cell))
    forward(study(tmp_path, "predict"), path).write(tmp_path)

    found = forward(study(tmp_path, "score"), path)
    for score in found.scores:
        # the curve is the trajectory's own; of a null mixture R_chi is of D(r) alone, without 4πρ r
        assert score.r_chi < (0.05 if score.data.name.startswith("null") else 0.01)
    found.write(tmp_path / "out")

    # One table of A_ij(Q): of each curve i(Q) = Σ (2 - δ) c c b b [A_ij - 1], barn, by hand
    s = columns(tmp_path / "out" / "s_q" / "a.csv")
    assert "half" in s
    assert "null" not in s  # it has no S(Q)
    for name, share in {"heavy": 1.0, "half": 0.5, "null": NULL}.items():
        b = share * B_2H + (1.0 - share) * B_1H
        weights = {"H-H": (2 * b) ** 2, "H-O": 2 * 2 * b * B_O, "O-O": B_O**2}
        by_hand = sum(w / 900 * (s[pair] - 1.0) for pair, w in weights.items())
        curve = columns(tmp_path / "curves" / f"{name}.csv")
        inside = (s["Q"] > 0.5) & (s["Q"] < 17.9)
        model = np.interp(s["Q"][inside], curve["Q"], curve["model"])
        np.testing.assert_allclose(model, by_hand[inside], atol=5e-3)
    total = columns(tmp_path / "out" / "t_r" / "null.csv")
    np.testing.assert_allclose(total["T model"], total["D model"])
