"""The potential of a finished run in ASE: base, refined parameters, dispersion and correction of that run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import refine
from refine.errors import InputError
from refine.files import write_text
from refine.potentials.mace.reader import load
from refine.potentials.mace.reader.neutral import MODEL_FILE, write_neutral
from refine.study.schema import StudyConfig
from tests.export.runs import correction, rows, run_folder
from tests.potentials.mace.models import random_checkpoint

COUNTS = {"Fe": 2, "O": 3}


def test_a_mace_model_with_all_that_is_on_top(tmp_path: Path) -> None:
    """From the file that the study names, and from that of refined weights."""
    files = {"my.safetensors": random_checkpoint(3), MODEL_FILE: random_checkpoint(8)}
    for name, model in files.items():
        write_neutral(model, tmp_path / name)
    phi, r = correction(COUNTS), np.linspace(0.5, 6.0, 20)
    for name, parameters in (("my.safetensors", None), (MODEL_FILE, {"readout, rms": {"final": 2.0}})):
        model = 'base = "mace"\npath = "my.safetensors"\ndispersion = "d3-bj"'
        run_folder(tmp_path, COUNTS, model, rows(phi), parameters=parameters)
        found = refine.read_calculator(tmp_path, dtype="float32")
        assert found.model.checkpoint.sha256 == load(tmp_path / name).sha256
        assert (found.dtype, found.dispersion) == ("float32", "d3-bj")
        np.testing.assert_allclose(found.correction.energy(r), phi.energy(r), atol=1e-12)


def test_a_mace_model_that_is_elsewhere(tmp_path: Path) -> None:
    """A study names its file from its own folder, which is not that of the run."""
    write_neutral(random_checkpoint(3), tmp_path / "my.safetensors")
    out = tmp_path / "out"
    out.mkdir()
    run_folder(out, COUNTS, 'base = "mace"\npath = "my.safetensors"', rows(correction(COUNTS)))
    with pytest.raises(InputError, match="no such file, as seen from the run"):
        refine.read_calculator(out)
    found = refine.read_calculator(out, model=tmp_path / "my.safetensors")
    assert found.model.checkpoint.sha256 == load(tmp_path / "my.safetensors").sha256


def test_a_mace_model_that_the_study_names_from_its_own_folder(tmp_path: Path) -> None:
    """As a run writes its study: paths are seen from the folder of the run, also when both were moved."""
    mine, out = tmp_path / "project" / "mine", tmp_path / "project" / "runs" / "out"
    (mine / "models").mkdir(parents=True)
    out.mkdir(parents=True)
    write_neutral(random_checkpoint(3), mine / "models" / "my.safetensors")
    model = 'base = "mace"\npath = "models/my.safetensors"'
    run_folder(mine, COUNTS, model, rows(correction(COUNTS)))
    (mine / "result.json").rename(out / "result.json")
    write_text(out / "study.toml", StudyConfig.from_toml(mine / "study.toml").to_toml(out))
    (tmp_path / "project").rename(tmp_path / "elsewhere")
    found = refine.read_calculator(tmp_path / "elsewhere" / "runs" / "out")
    assert found.model.checkpoint.sha256 == load(tmp_path / "elsewhere/mine/models/my.safetensors").sha256


def test_a_correction_that_changes_with_temperature(tmp_path: Path) -> None:
    slope = np.random.default_rng(9).normal(scale=0.05, size=(3, 14))
    phi = replace(correction(COUNTS), slope=slope, reference=1900.0, span=200.0)
    table = [
        row
        for name, kelvin in (("cold", 1800.0), ("hot", 2000.0))
        for row in rows(phi.at(kelvin), state=name, temperature=kelvin)
    ]
    run_folder(tmp_path, COUNTS, 'base = "lennard-jones"\nparameters = { epsilon = 0.01, sigma = 2.0 }', table)
    found = refine.read_calculator(tmp_path, 1850.0)
    r = np.linspace(0.5, 6.0, 20)
    np.testing.assert_allclose(found.correction.energy(r), phi.at(1850.0).energy(r), atol=1e-12)
    with pytest.raises(InputError, match="changes with temperature"):
        refine.read_calculator(tmp_path)
