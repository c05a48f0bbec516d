"""[[data]] of measured numbers: what is read, what is refused and how, and what a rule is handed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.refinement.observables import OBSERVABLES
from refine.study.schema import StudyConfig, reference_markdown
from refine.study.study import Study
from refine.tables.toml import parse_toml
from tests import small_box

PRESSURE = {"name": "p", "quantity": "pressure", "value": 0.0, "sigma": 0.01}
DENSITY = {"name": "d", "quantity": "number density", "value": 0.0213, "sigma": 0.0001, "bulk_modulus": 0.5}
ENERGY = {"name": "u", "quantity": "energy", "value": -0.06, "sigma": 0.001, "role": "score"}
NEIGHBOURS = {
    "name": "n", "quantity": "coordination number", "value": 12.0, "sigma": 0.5, "pair": ["Ar", "Ar"], "radius": 5.0,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_box.write(tmp_path).parent


def config(folder: Path, *entries: dict[str, Any], **tables: Any) -> StudyConfig:
    tree = parse_toml((folder / "study.toml").read_text(), "study.toml")
    return StudyConfig.parse(tree | tables | {"data": [*tree["data"], *entries]}, folder)


def test_numbers_are_targets_behind_the_curves(folder: Path) -> None:
    study = Study(config(folder, PRESSURE, DENSITY, ENERGY, NEIGHBOURS))
    assert [data.name for data in study.datasets] == ["sq", "gr"]
    assert [number.name for number in study.numbers] == ["p", "d", "u", "n"]
    assert [target.name for target in study.problem.targets] == ["sq", "p", "d", "n"]
    goals = {name: (float(t.y[0]), float(np.sqrt(t.covariance[0, 0]))) for name, t in study.targets.items()}
    assert goals["p"] == pytest.approx((0.0, 0.01))
    assert goals["d"] == pytest.approx((0.0, 0.5 * 0.0001 / 0.0213))
    assert goals["u"] == pytest.approx((-0.06, 0.001))
    assert goals["n"] == pytest.approx((12.0, 0.5))
    assert {t.observable.unit for t in study.targets.values()} == {"", "GPa", "eV/atom"}


def test_a_study_with_numbers_is_written_and_read_back(folder: Path) -> None:
    made = config(folder, PRESSURE, DENSITY, ENERGY, NEIGHBOURS)
    again = StudyConfig.parse(parse_toml(made.to_toml(), "again"), folder)
    assert again.numbers == made.numbers
    assert again.digest() == made.digest()
    assert config(folder, PRESSURE).digest() != config(folder, PRESSURE | {"sigma": 0.02}).digest()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (PRESSURE | {"file": "p.csv"}, "quantity = 'pressure' takes no 'file'; a curve has it"),
        (PRESSURE | {"radius": 3.0}, "quantity = 'pressure' takes no 'radius'; coordination number has it"),
        (PRESSURE | {"sigma": 0.0}, "sigma = 0.0 should be greater than 0"),
        (PRESSURE | {"sigma": "auto"}, "sigma = 'auto' should be a valid number"),
        (PRESSURE | {"value": float("nan")}, "value = nan should be a finite number"),
        (PRESSURE | {"role": "predict"}, "role = 'predict' should be 'fit' or 'score'"),
        (PRESSURE | {"free_scale": True}, "takes no 'free_scale'"),
        (PRESSURE | {"wieght": 2.0}, "unknown key 'wieght'; did you mean 'weight'?"),
        (PRESSURE | {"quantity": "presure"}, "quantity = 'presure' should be 'S(Q)', "),
        (PRESSURE | {"name": "sq"}, "the name 'sq' twice"),
        ({k: v for k, v in PRESSURE.items() if k != "value"}, "missing key 'value'"),
        ({k: v for k, v in PRESSURE.items() if k != "quantity"}, "missing key 'quantity'"),
        ({k: v for k, v in DENSITY.items() if k != "bulk_modulus"}, "missing key 'bulk_modulus'"),
        (NEIGHBOURS | {"pair": ["Ar", "Si"]}, "pair names 'Si', which is not in the system (Ar)"),
    ],
)
def test_what_does_not_belong_is_refused_in_a_line(folder: Path, entry: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        config(folder, entry)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (NEIGHBOURS | {"radius": 9.0}, "[[data]] n: radius = 9 Å lies beyond g(r), which ends at 8.5"),
        (
            DENSITY | {"value": 0.0225},
            "[[data]] d: the number density of the state is 0.02125 atoms/Å^3, and 0.0225 ± ",
        ),
    ],
)
def test_what_the_box_contradicts_is_refused_in_a_line(folder: Path, entry: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Study(config(folder, entry))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["ibi", "epsr", "backprop", "rmc"])
def test_rules_of_curves_score_a_number_and_do_not_fit_it(folder: Path, method: str) -> None:
    with pytest.raises(InputError, match=f"p: {method} fits curves, and pressure is a number"):
        Study(config(folder, PRESSURE, refinement={"method": method}))
    scored = [PRESSURE | {"role": "score"}]
    if method == "ibi":
        scored.append({"name": "g", "file": "gr.csv", "quantity": "g(r)", "radiation": "neutron", "q_range": [0, 40]})
    assert [number.name for number in Study(config(folder, *scored, refinement={"method": method})).numbers] == ["p"]


def test_difftre_fits_a_number_with_the_correction_alone(folder: Path) -> None:
    assert Study(config(folder, PRESSURE, refinement={"method": "difftre"})).problem.targets[1].quantity == "pressure"
    both = {"method": "difftre", "parameters": ["correction", "epsilon"]}
    with pytest.raises(InputError, match="how the pressure follows parameters of the base is not known"):
        Study(config(folder, PRESSURE, refinement=both))
    Study(config(folder, NEIGHBOURS, refinement=both))


def test_the_reference_has_a_section_for_each() -> None:
    page = reference_markdown()
    for name in OBSERVABLES:
        assert f'### `quantity = "{name}"`' in page
    assert "`bulk_modulus` | number, > 0 | required" in page
