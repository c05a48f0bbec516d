"""The rows of the gauntlet: a study each, what it states beyond what a user must, and what is known of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from laboratory import NACACL3


@dataclass(frozen=True)
class Synthetic:
    """What is hidden in data that the engine makes.

    Attributes:
        bumps: by pair, (height in kT, centre in Å, width in Å), a Gaussian each.
        noise: standard deviation of every curve that is fitted; the others have none.
        size: how many times the atoms of the fit.
        timestep: fs.
        model: [model] of the data; None: the study's.
    """

    bumps: Mapping[str, tuple[float, float, float]]
    noise: float
    timestep: float
    size: int = 3
    model: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Row:
    """One study.

    Attributes:
        study: its file in this folder.
        start: keys that make it another start of the same study.
        beyond: keys that today's defaults are not good for, (value, reason) each.
        synthetic: what its data are made of; None: measured ones.
        data: folder below --data that measured files lie in, which are not part of this repository.
        same_as: row whose answer it must agree with.
    """

    study: str
    start: Mapping[str, str] = field(default_factory=dict)
    beyond: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    synthetic: Synthetic | None = None
    data: str | None = None
    same_as: str | None = None


GLASS = {
    "correction.smoothness": ("1.0", "one glass of many: what its curve differs by from another glass is not noise"),
}
ONE_OF_MANY = ("0.01", "two glasses of one model differ by as much; the file has counting errors")

ROWS = {
    "argon": Row("argon.toml"),
    "argon-wrong": Row(
        "argon.toml",
        start={"model.parameters.epsilon": "0.0077556", "model.parameters.sigma": "3.25"},
        same_as="argon",
    ),
    "cacl2": Row(
        "cacl2.toml",
        data="molten_chlorides",
    ),
    "cacl2-wrong": Row(
        "cacl2.toml",
        start={"model.parameters.A": '{ "Ca-Cl" = 1616, "Cl-Cl" = 1548, "Ca-Ca" = 1363 }'},
        data="molten_chlorides",
        same_as="cacl2",
    ),
    "binary": Row(
        "binary.toml",
        synthetic=Synthetic(
            {"Ar-Ar": (1.0, 4.4, 0.5), "Ar-Kr": (-0.8, 4.3, 0.5), "Kr-Kr": (1.0, 4.9, 0.6)}, noise=0.01, timestep=5.0
        ),
    ),
    "ternary": Row(
        "ternary.toml",
        synthetic=Synthetic(
            NACACL3,
            noise=0.01,
            timestep=2.0,
        ),
    ),
    "lacl3": Row(
        "lacl3.toml",
        synthetic=Synthetic(
            {},
            noise=0.03,
            timestep=2.0,
            model={
                "base": "buckingham",
                "charges": {"La": 2.4, "Cl": -0.8},
                "parameters": {
                    "A": {"La-Cl": 1109.0, "Cl-Cl": 2013.0, "La-La": 2207.0},
                    "rho": 0.345,
                    "C": {"La-Cl": 20.0, "Cl-Cl": 80.0, "La-La": 0.0},
                },
            },
        ),
    ),
    "silica": Row("silica.toml", beyond={**GLASS, "data.0.sigma": ONE_OF_MANY}),
    "silica-mace": Row(
        "silica_mace.toml",
        beyond={
            **GLASS,
            "data.0.sigma": ONE_OF_MANY,
            "correction.r_cut": ("7", "half the box of 192 atoms is 7.13 Å"),
        },
    ),
    "a-si": Row(
        "a_si.toml",
        beyond={**GLASS, "data.0.sigma": ("0.02", "two solids of one model differ by as much")},
    ),
    "geo2": Row("geo2.toml", beyond={**GLASS, "data.0.sigma": ONE_OF_MANY}, data="geo2_glass"),
}
