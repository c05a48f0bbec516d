"""Any calculator of ASE as a base: what a study file may name, and what it may not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

import refine
from refine.errors import InputError
from refine.export import export
from refine.export.read import read_correction
from refine.potentials.ase_allowed import TRUSTED, calculator_class
from refine.potentials.calculator import Calculator
from refine.study.schema import StudyConfig
from refine.study.study import Study
from tests import small_box
from tests.export.runs import correction, rows, run_folder

EMT_NAME = "ase.calculators.emt:EMT"


def study(folder: Path, model: str) -> Path:
    """The small box with other lines of [model]."""
    path = small_box.write(folder)
    text = path.read_text()
    old = text[text.index("[model]") : text.index("[correction]")]
    path.write_text(text.replace(old, f"[model]\n{model}\n"))
    return path


def test_a_class_of_an_installed_package() -> None:
    found, version = calculator_class(EMT_NAME)
    assert found is EMT
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing_of_this_name.calculator:Any", "no package 'nothing_of_this_name' is installed"),
        ("ase.calculators.nothing:EMT", "ase.calculators.nothing cannot be imported: ModuleNotFoundError"),
        ("ase.calculators.emt:Nothing", "Nothing of ase.calculators.emt has no such name"),
        ("ase.build:bulk", "bulk of ase.build is no class of ASE calculators"),  # a function
        ("ase:Atoms", "Atoms of ase is no class of ASE calculators"),
        ("subprocess:Popen", "no package 'subprocess' is installed"),
        ("os:system", "no package 'os' is installed"),
        ("ase.calculators.calculator:BaseCalculator", "is no class of ASE calculators"),
        ("ase.calculators.calculator:FileIOCalculator", "which may start a program"),
        ("ase.calculators.abinit:Abinit", "may start a program"),
        ("ase.calculators.castep:Castep", "may start a program"),
        ("ase.calculators.cp2k:CP2K", "may start a program"),
        ("ase.calculators.lammpslib:LAMMPSlib", "may start a program"),
        ("ase.calculators.socketio:SocketIOCalculator", "may start a program"),
        ("ase.calculators.subprocesscalculator:NamedPackedCalculator", "may start a program"),
        ("ase.calculators.vasp:Vasp", "may start a program"),
    ],
)
def test_what_is_no_calculator_is_not_called(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        calculator_class(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_beside_the_study_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that nothing installed, nor one that would stand before an installed one of its name."""
    for name in ("evil", "mypy", "feigned"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Any: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    metadata = tmp_path / "feigned-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: feigned\nVersion: 1.0\n")
    (metadata / "top_level.txt").write_text("feigned\n")
    with pytest.raises(InputError, match=r"feigned would be imported from .* not where it was installed"):
        calculator_class("feigned:Any")
    with pytest.raises(InputError, match="no package 'evil' is installed"):
        calculator_class("evil:Any")
    with pytest.raises(InputError, match=r"mypy would be imported from .* not where it was installed"):
        calculator_class("mypy:Any")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('calculator = "EMT"', 'should be "package.module:Class"'),
        ('calculator = "ase.calculators.emt:EMT()"', 'should be "package.module:Class"'),
        ('calculator = "../x:EMT"', 'should be "package.module:Class"'),
        ('calculator = "numpy.f2py.__main__:main"', 'should be "package.module:Class"'),
        ("calculator = 3", "calculator"),
        (f'calculator = "{EMT_NAME}"\narguments = {{ command = "touch x" }}', "a study file starts no program"),
        (
            f'calculator = "{EMT_NAME}"\narguments = {{ more = [{{ command = "x" }}] }}',
            "a study file starts no program",
        ),
        (f'calculator = "{EMT_NAME}"\narguments = {{ name = "a\\u0000b" }}', "name should be text"),
        (f'calculator = "{EMT_NAME}"\narguments = {{ txt = "x" }}', "a study file names no file to write"),
        (f'calculator = "{EMT_NAME}"\narguments = {{ restart = "x" }}', "begins from the atoms of the study"),
        (f'calculator = "{EMT_NAME}"\narguments = {{ when = 2020-01-01 }}', "when should be text, a number"),
        (f'calculator = "{EMT_NAME}"\narguments = {{ "a b" = 1 }}', "no name of an argument"),
        ("", "missing key 'calculator'"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        StudyConfig.from_toml(study(tmp_path, f'base = "ase"\n{lines}'))
    assert message in str(caught.value)


def test_arguments_that_the_class_does_not_take(tmp_path: Path) -> None:
    lines = 'base = "ase"\ncalculator = "ase.calculators.tersoff:Tersoff"\narguments = { one = [1, { two = 2.0 }] }'
    one = Study.from_toml(study(tmp_path, lines))
    with pytest.raises(InputError, match=r"Tersoff cannot be made: TypeError: .*; mend \[model\] arguments"):
        _ = one.base.calculator


@pytest.mark.parametrize("named", ["model.pt", "{folder}/model.pt", "*.pt", "there/../model.pt", "https://x.org/m.pt"])
def test_a_file_of_a_model_is_read_where_the_user_trusts_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Whether it is named outright, by a pattern, or inside of a list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"of torch")
    named = named.format(folder=tmp_path)
    for arguments in (f'model = "{named}"', f'some = {{ models = [1, "{named}"] }}'):
        path = study(tmp_path, f'base = "ase"\ncalculator = "{EMT_NAME}"\narguments = {{ {arguments} }}')
        with pytest.raises(InputError, match=r"may be a file that runs code .*export REFINE_ASE_FILES=") as caught:
            Study.from_toml(path)
        assert "\n" not in str(caught.value)
        monkeypatch.setenv(TRUSTED, f"/elsewhere{os.pathsep}{tmp_path / 'there'}")
        with pytest.raises(InputError, match="may be a file"):
            Study.from_toml(path)
        monkeypatch.delenv(TRUSTED)


def test_the_bytes_of_a_file_are_a_part_of_what_a_run_follows_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUSTED, str(tmp_path))
    file, found = tmp_path / "model.pt", []
    path = study(tmp_path, f'base = "ase"\ncalculator = "{EMT_NAME}"\narguments = {{ model = "{file}" }}')
    for content in (b"one", b"another"):
        file.write_bytes(content)
        one = Study.from_toml(path)
        found.append(one.base_kind.identity(one.base))
    assert found[0] != found[1]
    assert found[0].startswith(f"{EMT_NAME} of version ")


def test_the_engine_follows_from_the_base(tmp_path: Path) -> None:
    path = study(tmp_path, f'base = "ase"\ncalculator = "{EMT_NAME}"')
    config = StudyConfig.from_toml(path)
    assert config.sampling.engine == "ase"
    (tmp_path / "again.toml").write_text(config.to_toml())
    assert StudyConfig.from_toml(tmp_path / "again.toml").model_dump() == config.model_dump()
    assert Study.from_toml(path).settings.engine == "ase"
    assert Study.from_toml(path, ['sampling.engine="auto"']).settings.engine == "ase"
    with pytest.raises(InputError, match=r"base 'ase' is evaluated by engine 'ase' alone.*set engine = \"ase\""):
        Study.from_toml(path, ['sampling.engine="jax"'])


def test_the_version_of_the_package_is_a_part_of_what_a_run_follows_from(tmp_path: Path) -> None:
    path = study(tmp_path, f'base = "ase"\ncalculator = "{EMT_NAME}"')
    one = Study.from_toml(path)
    assert one.base_kind.identity(one.base).startswith(f"{EMT_NAME} of version ")


def test_parameters_and_gradients_are_refused(tmp_path: Path) -> None:
    path = study(tmp_path, f'base = "ase"\ncalculator = "{EMT_NAME}"')
    with pytest.raises(InputError, match=r"parameters of .*EMT cannot be refined"):
        Study.from_toml(path, ['refinement.method="difftre"', 'refinement.parameters=["epsilon"]'])
    with pytest.raises(InputError, match="differentiates through the dynamics"):
        Study.from_toml(path, ['refinement.method="backprop"'])


def test_a_finished_run_is_a_calculator_and_a_part_of_a_script(tmp_path: Path) -> None:
    """Energies and forces are those of the base's own calculator and of the correction."""
    counts = {"Cu": 8, "Ni": 8}
    phi = correction(counts, r_cut=4.0)
    run_folder(tmp_path, counts, f'base = "ase"\ncalculator = "{EMT_NAME}"', rows(phi), r_cut=4.0)
    numbers = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[:16]
    atoms = Atoms("Cu8Ni8", 2.8 * grid + numbers.normal(scale=0.1, size=(16, 3)), cell=[8.4] * 3, pbc=True)
    found: list[Any] = []
    for calculator in (refine.read_calculator(tmp_path), EMT()):
        atoms.calc = calculator
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    both, base = found
    energy, forces = pairs(atoms, read_correction(tmp_path).correction)
    assert abs(energy) > 0.1
    np.testing.assert_allclose(both[0] - base[0], energy, rtol=1e-9)
    np.testing.assert_allclose(both[1] - base[1], forces, atol=1e-9)

    written = {path.name: path.read_text() for path in export(tmp_path, "lammps", tmp_path / "lammps")}
    assert f"the ASE calculator {EMT_NAME}" in written["potential.in"]
    assert isinstance(refine.read_calculator(tmp_path).mixer.calcs[1], Calculator)


def pairs(atoms: Atoms, phi: Any) -> tuple[float, np.ndarray]:
    """Energy and forces of a correction by a loop over images."""
    energy, forces, symbols = 0.0, np.zeros((len(atoms), 3)), atoms.get_chemical_symbols()
    images = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3) @ atoms.cell.array
    for i in range(len(atoms)):
        for j in range(len(atoms)):
            row = [set(pair) for pair in phi.pairs].index({symbols[i], symbols[j]})
            apart = atoms.positions[j] - atoms.positions[i] + images
            r = np.linalg.norm(apart, axis=1)
            near = (r > 1e-9) & (r < phi.cutoff)
            values, slopes = phi.continued(r[near])
            energy += values[row].sum() / 2
            forces[i] += (slopes[row] / r[near]) @ apart[near]
    return energy, forces
