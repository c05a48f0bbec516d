"""Perfect data of one frame of silica, in every convention and format that is read, come back with R_chi of zero.

Everything here is written by itself: distances by numpy, partial structure factors by sums over pairs, scattering
lengths and form factors from their tables, every quantity from its definition (Keen, J. Appl. Cryst. 34, 172 (2001)).
The frame is known to half of its box, so that g = 1 beyond is part of what is perfect; like pairs are normalised by
N (N - 1), and a box of a fixed number of atoms has the constant -G/V taken off (G with the weights of Krüger and Vlugt,
Phys. Rev. E 97, 051301 (2018)).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
import xraylib

from refine.errors import InputError
from refine.study.schema import StudyConfig
from refine.tasks.forward import forward

FRAME = Path(__file__).parents[1] / "experiments" / "silica_mace" / "glass-2.extxyz"
LENGTHS = {"Si": 4.1491, "O": 5.8037}
"""fm."""
NUMBERS = {"Si": 14, "O": 8}
Q = 0.04 * np.arange(8, 601)
R = 0.04 * np.arange(1, 250)
R_CHI = 0.002

Array = np.ndarray


class Glass:
    """Partial S_ij(Q) - 1 of the frame, Faber-Ziman, on Q."""

    def __init__(self) -> None:
        atoms = ase.io.read(FRAME)
        length, names = float(atoms.cell.lengths()[0]), np.array(atoms.get_chemical_symbols())
        apart = atoms.positions[:, None] - atoms.positions
        apart -= length * np.round(apart / length)
        i, j = np.triu_indices(len(names), 1)
        distance, reach, volume = np.linalg.norm(apart[i, j], axis=1), length / 2, length**3
        self.density = len(names) / volume
        self.counts = {name: int((names == name).sum()) for name in LENGTHS}
        self.fractions = {name: count / len(names) for name, count in self.counts.items()}
        self.pairs = {}
        s = np.linspace(0.0, reach, 20_001)
        shell = 4 * np.pi * s**2 * _weights(s / reach)
        ball = 4 * np.pi * (np.sin(Q * reach) - Q * reach * np.cos(Q * reach)) / Q**3
        for a, b in (("Si", "Si"), ("Si", "O"), ("O", "O")):
            chosen = ((names[i] == a) & (names[j] == b)) | ((names[i] == b) & (names[j] == a))
            r = distance[chosen & (distance < reach)]
            number = self.counts[a] * (self.counts[a] - 1) / 2 if a == b else self.counts[a] * self.counts[b]
            excess = _weights(r / reach).sum() * volume / number - np.trapezoid(shell, s)
            closed = excess / (volume - np.trapezoid(shell, s))
            waves = np.sinc(np.outer(Q, r) / np.pi).sum(axis=1) * volume / number
            self.pairs[a, b] = self.density * (waves - (1 - closed) * ball)

    def distinct(self, f: dict[str, Array]) -> Array:
        """Σ_ij c_i c_j f_i f_j (S_ij - 1)."""
        c = self.fractions
        return sum((1 if a == b else 2) * c[a] * c[b] * f[a] * f[b] * s for (a, b), s in self.pairs.items())

    def mean(self, f: dict[str, Array], power: int = 1) -> Array:
        """<f> or <f^2>."""
        return sum(self.fractions[name] * f[name] ** power for name in f)


def _weights(x: Array) -> Array:
    return 1 - 23 * x**3 / 8 + 3 * x**4 / 4 + 9 * x**5 / 8


def _transform(interference: Array, window: Array) -> Array:
    """(2/pi) ∫ Q i(Q) M(Q) sin(Qr) dQ by the trapezoid rule."""
    return 2 / np.pi * np.trapezoid(Q * interference * window * np.sin(np.outer(R, Q)), Q, axis=1)


@pytest.fixture(scope="module")
def glass() -> Glass:
    return Glass()


def _rows(x: Array, *columns: Array) -> str:
    return "".join(" ".join(f"{value:.9e}" for value in row) + "\n" for row in zip(x, *columns, strict=True))


START = "##### start data\n#S 1\n#L r G(r) dr dG(r)\n"
LOW, HIGH = f"{Q[0]:g}", f"{Q[-1]:g}"
KEYS = f"qmin = {LOW}\nqmax = {HIGH}\n"
GETN = f"## Damp  Qmin={LOW}  Qmax={HIGH}  startDampQ=20\n{START}"
GETX2 = f"det# used\n  0  1\n## S(q) qmin={LOW} qmax={HIGH} qgrid=0\n{START}"
MANTID = f"#Comment: neutron, Qmin={LOW}, Qmax={HIGH}, Qdamp=0.01\n{START}"
GSAS = f"[DEFAULT]\nversion = GSAS-II\nqmaxinst = 30\n{KEYS}{START}"
GETX3 = f"version = pdfgetx3-2\nmode = neutron\n{KEYS}#### start data\n#L Q F\n"
MODEL = '[model]\nbase = "lennard-jones"\n[model.parameters]\nepsilon = 0.01\nsigma = 2.5\n[correction]\nr_cut = 6.0\n'


def curves(glass: Glass) -> dict[str, tuple[str, str, dict[str, str]]]:
    """{name of the file: (its text, quantity, other keys of [[data]])}."""
    b = {name: np.full(len(Q), 0.1 * value) for name, value in LENGTHS.items()}  # barn^1/2
    f = {name: np.array([xraylib.FF_Rayl(z, q / (4 * np.pi)) for q in Q]) for name, z in NUMBERS.items()}
    keen, normal = glass.distinct(b), glass.distinct(b) / glass.mean(b) ** 2
    mean2, uniform = float(glass.mean(b)[0] ** 2), 4 * np.pi * glass.density * R
    xray, sharp, lorch = glass.distinct(f), np.ones(len(Q)), np.sinc(Q / Q[-1])
    d, half = _transform(normal, sharp), 0.5 * (Q[1] - Q[0])
    neutron, k = {"radiation": "neutron"}, {"normalisation": "keen"}
    x, q_range = {"radiation": "xray"}, {"q_range": f"[{LOW}, {HIGH}]"}
    header = "# Q F(Q)\n"
    return {
        "s.csv": ("Q,S\n" + _rows(Q, 1 + normal).replace(" ", ","), "S(Q)", neutron),
        "left.mint01": ("# a.mint01\n#  4  1\n" + _rows(Q - half, keen, 0.001 * sharp), "F(Q)", neutron | k),
        "left.dat": (header + _rows(Q - half, keen), "F(Q)", neutron | k | {"abscissa": '"left-edges"'}),
        "centre.t01": (header + _rows(Q, keen, 0.001 * sharp), "F(Q)", neutron | k),
        "i.dat": (header + _rows(Q, keen, 0.001 * sharp), "i(Q)", neutron | k),
        "f.sq": (header + _rows(Q, normal), "F(Q)", neutron),
        "getx.fq": (GETX3 + _rows(Q, Q * normal), "Q[S(Q)-1]", neutron),
        "product.dat": (_rows(Q, Q * keen), "Q[S(Q)-1]", neutron | k),
        "electrons.dat": (_rows(Q, xray), "F(Q)", x | k),
        "over_f2.int01": (_rows(Q - half, xray / glass.mean(f, 2)), "i(Q)", x | {"normalisation": "<f^2>"}),
        "xray.csv": (_rows(Q, 1 + xray / glass.mean(f) ** 2), "S(Q)", x),
        "getn.gr": (GETN + _rows(R, d), "D(r)", neutron),
        "mantid.gr": (MANTID + _rows(R, d, 0 * d, 0.01 + 0 * d), "G(r)", neutron),
        "getx2.gr": (GETX2 + _rows(R, d), "G(r)", neutron),
        "gsas.gr": (GSAS + _rows(R, d), "G(r)", neutron),
        "keen_g.dat": (_rows(R, mean2 * d / uniform), "G(r)", neutron | k | q_range),
        "pair.dat": (_rows(R, 1 + d / uniform), "g(r)", neutron | q_range),
        "total.dat": (_rows(R, d + uniform), "T(r)", neutron | q_range),
        "total_keen.dat": (_rows(R, mean2 * (d + uniform)), "T(r)", neutron | k | q_range),
        "rdf.dat": (_rows(R, R * (d + uniform)), "J(r)", neutron | q_range),
        "lorch.dat": (_rows(R, _transform(normal, lorch)), "D(r)", neutron | q_range | {"window": '"lorch"'}),
        "xray_d.dat": (_rows(R, _transform(xray / glass.mean(f) ** 2, sharp)), "D(r)", x | q_range),
        "partial.dat": (_rows(Q, 1 + glass.pairs["Si", "O"]), "S(Q)", {"pair": '["Si", "O"]'}),
    }


@pytest.fixture
def study(tmp_path: Path, glass: Glass) -> Callable[[dict[str, tuple[str, str, dict[str, str]]]], StudyConfig]:
    def make(files: dict[str, tuple[str, str, dict[str, str]]]) -> StudyConfig:
        text = f"[system]\nspecies = {{ Si = 64, O = 128 }}\nnumber_density = {glass.density}\n"
        text += '[[states]]\nname = "a"\ntemperature = 300\nphase = "solid"\n'
        for name, (content, quantity, keys) in files.items():
            (tmp_path / name).write_text(content)
            keys = {key: value if value[0] in '["' else f'"{value}"' for key, value in keys.items()}
            entries = {"name": f'"{name}"', "file": f'"{name}"', "quantity": f'"{quantity}"', **keys}
            text += "[[data]]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            text += "score_r = [1.0, 6.0]\n"
        text += MODEL
        (tmp_path / "study.toml").write_text(text)
        return StudyConfig.from_toml(tmp_path / "study.toml")

    return make


def test_every_convention_comes_back(study: Callable[..., StudyConfig], glass: Glass) -> None:
    files = curves(glass)
    found = {score.data.name: score.r_chi for score in forward(study(files), FRAME).scores}
    assert set(found) == set(files)
    assert {name: value for name, value in found.items() if value > R_CHI} == {}


@pytest.mark.parametrize("name", ["angstrom", "barn", "product", "self"])
def test_and_what_is_something_else_is_refused(study: Callable[..., StudyConfig], glass: Glass, name: str) -> None:
    """Q in 1/nm, fm^2 in place of barn, Q[S(Q)-1] called F(Q), the self scattering left in."""
    b = {key: np.full(len(Q), 0.1 * value) for key, value in LENGTHS.items()}
    keen = glass.distinct(b)
    made = {
        "angstrom": (_rows(10 * Q, keen), "F(Q)", "1/nm"),
        "barn": (_rows(Q, 100 * keen), "F(Q)", r"fm\^2"),
        "product": (_rows(Q, Q * keen), "F(Q)", r"as Q\[S\(Q\)-1\]"),
        "self": (_rows(Q, keen + glass.mean(b, 2)), "F(Q)", "self . distinct"),
    }
    text, quantity, message = made[name]
    with pytest.raises(InputError, match=message):
        forward(study({"x.dat": (text, quantity, {"radiation": "neutron", "normalisation": "keen"})}), FRAME)
