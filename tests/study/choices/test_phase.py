"""A packing far below melting is asked after, before anything is sampled."""

from __future__ import annotations

import pytest

from refine import Study
from refine.errors import InputError
from refine.study.schema import StudyConfig
from refine.tasks.prepare import prepare


def tree(species: dict[str, int], temperature: float, **state: str) -> dict:
    return {
        "system": {"species": species, "number_density": 0.05},
        "states": [{"name": "a", "temperature": temperature, **state}],
        "data": [{"name": "g", "role": "predict", "quantity": "g(r)", "pair": [next(iter(species))] * 2}],
        "model": {"base": "lennard-jones", "parameters": {"epsilon": 0.01, "sigma": 2.2}},
        "correction": {"r_cut": 5.0},
    }


@pytest.mark.parametrize(
    ("species", "temperature"),
    [({"Si": 64}, 10.0), ({"Si": 32, "O": 64}, 300.0), ({"Ge": 32, "Se": 64}, 300.0), ({"Zr": 40, "Cu": 60}, 300.0)],
)
def test_a_cold_packing_is_asked_after(species: dict[str, int], temperature: float) -> None:
    asked = tree(species, temperature)
    for make in (lambda: Study(StudyConfig.parse(asked)), lambda: prepare(StudyConfig.parse(asked))):
        with pytest.raises(InputError, match=r"glass, or a crystal.*\[\[schedule\]\].*phase = ") as caught:
            make()
        assert "\n" not in str(caught.value)
    Study(StudyConfig.parse(tree(species, temperature, phase="solid")))
    Study(StudyConfig.parse({**asked, "schedule": [{"temperature": 3000.0, "picoseconds": 1.0}]}))


@pytest.mark.parametrize(
    ("species", "temperature"),
    [
        ({"Ar": 100}, 85.0),
        ({"H": 64, "O": 32}, 300.0),
        ({"C": 32, "Cl": 128}, 300.0),
        ({"Na": 50, "Cl": 50}, 1100.0),
        ({"B": 40, "O": 60}, 1000.0),
        ({"Hg": 100}, 300.0),
        ({"Fe": 50, "O": 50}, 1673.0),
    ],
)
def test_liquids_are_not(species: dict[str, int], temperature: float) -> None:
    Study(StudyConfig.parse(tree(species, temperature)))
