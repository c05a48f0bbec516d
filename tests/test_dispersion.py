"""A study whose base has dispersion, from the study file to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refine import Study
from refine.errors import InputError
from refine.export.read import read_correction
from refine.study.schema import StudyConfig
from tests import small_box


def test_a_study_with_dispersion(tmp_path: Path) -> None:
    path = small_box.write(tmp_path)
    few = ["system.species={ Ar = 64 }", "correction.r_cut=5.5", "sampling.frames=16", "sampling.equilibration=0.2"]
    few += ["refinement.iterations=1", "sampling.reequilibration=0.1", "data.1.fit_r=[2.5, 5.5]"]
    bare = Study.from_toml(path, few)
    study = Study.from_toml(path, [*few, 'model.dispersion="d3-bj"'])
    assert study.digest() != bare.digest()
    assert bare.base_energies(np.array([3.0])) is not None
    assert study.base_energies(np.array([3.0])) is None  # no sum of pair functions
    result = study.run(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["correction"][0]["base"] is None
    assert result.report_path.exists()
    found = read_correction(tmp_path / "out").correction
    r = np.linspace(0.5, 6.0, 50)
    np.testing.assert_allclose(found.energy(r), result.correction.energy(r), rtol=1e-12, atol=1e-15)


def test_an_element_beyond_the_tables(tmp_path: Path) -> None:
    path = small_box.write(tmp_path)
    tree = path.read_text().replace("{ Ar = 108 }", "{ Am = 108 }").replace("{ Ar = 36 }", "{}")
    path.write_text(tree.replace('base = "lennard-jones"', 'base = "lennard-jones"\ndispersion = "d3-bj"'))
    with pytest.raises(InputError, match="dispersion"):
        Study(StudyConfig.from_toml(path))
