"""A study from measured curves and a few words: it is one that a run takes, and says where each value is from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from ase.spacegroup import crystal
from typer.testing import CliRunner

from refine import Study
from refine.cli.main import app
from refine.errors import InputError
from refine.tasks.init.model import model_for
from tests import small_box

ARGON = ("--composition", "Ar", "--temperature", "85", "--radiation", "neutron", "--isotopes", "Ar=36")


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    """sq.csv and gr.csv of a liquid of 0.02125 atoms/Å^3."""
    (tmp_path / "measured").mkdir()
    small_box.write(tmp_path / "measured")
    return tmp_path / "measured"


def test_a_liquid(curves: Path, tmp_path: Path) -> None:
    out = tmp_path / "study.toml"
    code, said = call("init", curves / "sq.csv", curves / "gr.csv", *ARGON, "--q-range", "0.4,30", "--out", out)
    assert code == 0, said
    assert f"refine run {out}" in said
    text = out.read_text()
    study = Study.from_toml(out)
    assert [(data.quantity, data.radiation) for data in study.config.curves] == [
        ("S(Q)", "neutron"),
        ("g(r)", "neutron"),
    ]
    assert study.config.curves[0].isotopes == {"Ar": 36}
    assert study.config.curves[1].q_range == (0.4, 30.0)
    assert study.config.model.base == "lennard-jones"
    assert study.systems[0].number_density == pytest.approx(0.02125, rel=0.1)
    assert study.systems[0].r_box > 9.9
    assert 'file = "measured/sq.csv"' in text
    explained = [line for line in text.splitlines() if " = " in line and not line.startswith(("title", "name", "file"))]
    assert all("  # " in line for line in explained), text
    code, said = call("init", curves / "sq.csv", *ARGON, "--out", out)
    assert (code, "use --overwrite" in said) == (2, True)
    assert out.read_text() == text


def test_a_glass_a_crystal_and_deuterium(curves: Path, tmp_path: Path) -> None:
    words = (curves / "sq.csv", "--composition", "SiO2", "--radiation", "neutron", "--quantity", "S(Q)")
    glass = tmp_path / "glass.toml"
    code, said = call("init", *words, "--temperature", 300, "--mass-density", 2.2, "--out", glass)
    assert code == 0, said
    assert "taken for a glass" in said
    study = Study.from_toml(glass)
    assert study.config.states[0].phase == "solid"
    assert [stage.to for stage in study.stages] == [None, 300.0]
    assert study.config.model.base == "pedone-2006"
    assert study.systems[0].number_density == pytest.approx(0.06615, rel=1e-3)

    atoms = crystal(["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[5.64] * 3 + [90] * 3) * (
        3,
        3,
        3,
    )
    atoms.write(tmp_path / "salt.extxyz")
    salt = tmp_path / "salt.toml"
    words = ("init", curves / "sq.csv", "--composition", "NaCl", "--radiation", "xray", "--quantity", "S(Q)")
    code, said = call(*words, "--temperature", 300, "--structure", tmp_path / "salt.extxyz", "--out", salt)
    assert code == 0, said
    study = Study.from_toml(salt)
    assert (study.config.model.base, study.config.states[0].phase) == ("tosi-fumi-1964", "solid")
    assert study.systems[0].n_atoms == 216

    code, said = call("init", curves / "sq.csv", "--composition", "D2O", "--temperature", 300, "--radiation", "neutron")
    assert (code, "no published set" in said) == (2, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--composition", "SiO2", "--temperature", "300", "--quantity", "S(Q)"), "does not say what was scattered"),
        (("--composition", "Ga", "--temperature", "300", "--radiation", "xray"), "no published set of parameters"),
        ((*ARGON, "--model", "nothing"), "no model file, published model or set"),
        ((*ARGON, "--model", "born-mayer"), "comes without numbers"),
        ((*ARGON, "--quantity", "X(Q)"), "no X"),
        ((*ARGON, "--structure", "nowhere.cif"), "no such structure file"),
        ((*ARGON, "--number-density", "0.02", "--mass-density", "1.4"), "--number-density or --mass-density"),
        ((*ARGON, "--quantity", "g(r)"), "Q range of the transform"),
    ],
)
def test_what_is_missing_is_said(curves: Path, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    given = () if "density" in " ".join(words) else ("--number-density", "0.02125")
    code, said = call("init", curves / "sq.csv", *words, *given, "--out", tmp_path / "a.toml")
    assert code == 2
    assert says in said
    assert not (tmp_path / "a.toml").exists()


def test_ions_are_those_of_a_neutral_formula() -> None:
    """Iron of FeO and of Fe2O3; a set that has only one of them is passed over for another."""
    for amounts, ion in (
        ({"Fe": 1, "O": 1}, "Fe2+"),
        ({"Fe": 2, "O": 3}, "Fe3+"),
        ({"Fe": 1, "Si": 1, "O": 3}, "Fe2+"),
    ):
        lines = {key: value for key, value, _ in model_for(amounts, None, Path()).lines}
        assert f'Fe = "{ion}"' in lines["ions"]
    with pytest.raises(InputError, match="no published set"):
        model_for({"Fe": 1, "O": 2}, None, Path())
    assert dict(model_for({"Si": 1}, None, Path()).lines[0][:2] for _ in range(1)) == {"base": '"stillinger-weber"'}


def test_counts_are_no_curve(tmp_path: Path) -> None:
    q = np.arange(0.5, 20.0, 0.02)
    np.savetxt(tmp_path / "a.xy", np.column_stack([q, 9000.0 * np.exp(-((q / 9.0) ** 2)) + 800.0]))
    code, said = call("init", tmp_path / "a.xy", *ARGON[:-2], "--number-density", 0.02, "--out", tmp_path / "a.toml")
    assert code == 2
    assert "refine inspect a.xy" in said


@pytest.mark.slow
def test_such_a_study_runs(curves: Path, tmp_path: Path) -> None:
    out = tmp_path / "study.toml"
    assert call("init", curves / "sq.csv", *ARGON, "--atoms", 108, "--out", out)[0] == 0
    few = ["sampling.frames=40", "sampling.equilibration=1", "sampling.timestep=5", "sampling.stride=10"]
    result = Study.from_toml(out, [*few, "refinement.iterations=1"]).run(tmp_path / "out")
    assert result.final.r_chi["sq"] > 0.0


def test_nothing_that_is_read_is_written_over(curves: Path, tmp_path: Path) -> None:
    words = ("--number-density", 0.02125, "--overwrite", "--out")
    before = (curves / "sq.csv").read_bytes()
    code, said = call("init", curves / "sq.csv", *ARGON, *words, curves / "sq.csv")
    assert (code, "a file that is read" in said) == (2, True)
    assert (curves / "sq.csv").read_bytes() == before
    code, said = call("init", curves / "sq.csv", curves / "sq.csv", *ARGON, *words, tmp_path / "a.toml")
    assert (code, "given twice" in said) == (2, True)


def test_odd_names_are_written_as_toml(curves: Path, tmp_path: Path) -> None:
    odd = curves / 'we"ird \\ å.csv'
    odd.write_bytes((curves / "sq.csv").read_bytes())
    out = tmp_path / "a.toml"
    words = ("--number-density", 0.02125, "--title", 'x\\z "y"', "--columns", "Q,S", "--out", out)
    code, said = call("init", odd, *ARGON, *words)
    assert code == 0, said
    config = Study.from_toml(out).config
    assert (config.title, config.curves[0].path.resolve()) == ('x\\z "y"', odd.resolve())
    assert config.curves[0].columns == ("Q", "S")


def test_isotopes_of_elements_that_begin_with_d(curves: Path, tmp_path: Path) -> None:
    """Dysprosium is no deuterium; beside D only hydrogen is said by the formula."""
    out = tmp_path / "a.toml"
    words = ("--radiation", "neutron", "--number-density", 0.06, "--quantity", "S(Q)", "--overwrite", "--out", out)
    at = ("--temperature", 3000)
    code, said = call("init", curves / "sq.csv", "--composition", "SiDO2", "--isotopes", "Si=30", *at, *words)
    assert code == 2, said  # no set has hydrogen
    named = ("--composition", "Na2O.2SiO2", "--isotopes", "Si=30")
    code, said = call("init", curves / "sq.csv", *named, *at, *words)
    assert code == 0, said
    assert Study.from_toml(out).config.curves[0].isotopes == {"Si": 30}
    code, said = call("init", curves / "sq.csv", *named, *at, *words[:2], "--mass-density", 2.3, *words[4:])
    assert (code, "--number-density" in said) == (2, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--radiation", "foo"), "unknown radiation 'foo'"),
        (("--number-density", "0"), "not above zero"),
        (("--isotopes", "Ar=99"), "no isotope 99Ar"),
        (("--temperature", "0"), "not above zero"),
        (("--atoms", "100000000"), "--atoms"),
    ],
)
def test_options_out_of_range(curves: Path, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    given = {"--composition": "Ar", "--temperature": "85", "--radiation": "neutron", "--number-density": "0.02"}
    given |= dict(zip(words[::2], words[1::2], strict=True))
    code, said = call("init", curves / "sq.csv", *(word for pair in given.items() for word in pair))
    assert code == 2
    assert says in " ".join(said.split())


def test_each_word_says_where_it_is_from(curves: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.toml"
    words = (*ARGON, "--number-density", 0.02125, "--normalisation", "faber-ziman", "--out", out)
    code, said = call("init", curves / "sq.csv", *words)
    assert code == 0, said
    assert 'quantity = "S(Q)"  # the likeliest by its numbers' in out.read_text()
    assert call("init", curves / "sq.csv", *words, "--quantity", "S(Q)", "--overwrite")[0] == 0
    assert 'quantity = "S(Q)"  # --quantity' in out.read_text()


INPUT = """units metal
atom_style atomic
read_data al.data
pair_style eam/alloy   # my own
pair_coeff * * &
    pots/Al.mine Al
fix 1 all nve
run 100
"""


def test_the_potential_of_a_lammps_input(tmp_path: Path) -> None:
    """Of the whole input, which lies elsewhere, the lines of the potential are taken; its file is found beside it."""
    q = np.arange(0.6, 20.0, 0.05)
    np.savetxt(tmp_path / "sq.csv", np.c_[q, 1.0 + np.sin(2.8 * q) / (2.8 * q) * np.exp(-0.01 * q * q)], delimiter=",")
    there = tmp_path / "md"
    (there / "pots").mkdir(parents=True)
    (there / "pots" / "Al.mine").write_text("a potential\n")
    words = [tmp_path / "sq.csv", "--composition", "Al", "--temperature", "1100", "--radiation", "neutron"]
    words += ["--quantity", "S(Q)", "--number-density", "0.0527", "--out", tmp_path / "study.toml"]

    def asked(text: str, code: int = 0) -> str:
        (there / "in.mine").write_text(text)
        found, said = call("init", *words, "--model", there / "in.mine", "--overwrite")
        assert found == code, said
        return " ".join(said.split())

    asked(INPUT)
    model = tomllib.loads((tmp_path / "study.toml").read_text())["model"]
    assert model["base"] == "lammps"
    assert model["files"] == ["md/pots/Al.mine"]
    assert model["commands"].split("\n") == ["pair_style eam/alloy", "pair_coeff * * Al.mine Al", ""]
    assert "its units are 'lj'" in asked(INPUT.replace("units metal", ""), 2)
    assert "pots/none: no such file" in asked(INPUT.replace("Al.mine", "none"), 2)
    assert "it has molecules (bond_style)" in asked(INPUT + "bond_style harmonic\n", 2)
    assert "pair_style python is not let through" in asked(INPUT.replace("eam/alloy", "python"), 2)
    assert "'${x}' is not let through" in asked(INPUT.replace("* * &", "* ${x} &"), 2)
    assert "ends with Cu, and the types of this study are Al" in asked(INPUT.replace("Al.mine Al", "Al.mine Cu"), 2)
