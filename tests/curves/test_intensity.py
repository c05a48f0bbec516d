"""I(Q), self and distinct scattering per atom or molecule, on the absolute scale: numbers written out."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from refine.cli.main import app
from refine.curves.checks import check_curve
from refine.curves.convert import convert
from refine.curves.curve import Curve
from refine.curves.readers import read_curve
from refine.curves.weights import form_factors
from refine.curves.writers import curve_text
from refine.errors import ConversionError, InputError
from refine.scattering.measurement import ForwardModel
from refine.system import Box

Q = np.arange(0.3, 16.0, 0.05)
WATER = {"composition": {"H": 2, "O": 1}, "number_density": 0.1002, "quantity": "I(Q)", "normalisation": "keen"}
F = form_factors(["H", "O"], Q)


def molecule(r_oh: float = 0.96, r_hh: float = 1.51) -> np.ndarray:
    """Debye's sum over one water molecule in a vacuum, in electron units per molecule."""
    h, o = F
    return 2 * h**2 + o**2 + 4 * h * o * np.sinc(Q * r_oh / math.pi) + 2 * h**2 * np.sinc(Q * r_hh / math.pi)


def test_debye_of_a_molecule_becomes_its_distinct_scattering() -> None:
    """i(Q) per atom is the two interference terms over three, whatever unit I(Q) is of."""
    whole = Curve(Q, molecule(), radiation="xray", per=3.0, **WATER)
    distinct = (molecule() - 2 * F[0] ** 2 - F[1] ** 2) / 3.0
    np.testing.assert_allclose(convert(whole, "F(Q)").y, distinct, atol=1e-12)
    by_atom = Curve(Q, molecule() / 3.0, radiation="xray", **WATER)
    np.testing.assert_allclose(convert(by_atom, "F(Q)").y, distinct, atol=1e-12)
    structure = convert(whole, "S(Q)", normalisation="faber-ziman")
    mean = (2 * F[0] + F[1]) / 3.0
    np.testing.assert_allclose(structure.y, 1.0 + distinct / mean**2, rtol=1e-12)
    np.testing.assert_allclose(convert(structure, "I(Q)", normalisation="keen").y, molecule(), rtol=1e-12)


def test_neutrons_in_barn_with_and_without_the_incoherent_part() -> None:
    """D2O: b_D 6.671, b_O 5.803 fm, σ_s 7.64 and 4.232 barn (Sears 1992)."""
    distinct = 0.1 * np.sin(2.0 * Q) / Q
    facts = WATER | {"quantity": "F(Q)", "isotopes": {"H": 2}, "radiation": "neutron"}
    for incoherent, alone in (
        (False, (2 * 0.06671**2 + 0.05803**2) / 3.0 * 100.0),
        (True, (2 * 7.64 + 4.232) / 3.0 / (4.0 * math.pi)),
    ):
        curve = Curve(Q, distinct, per=3.0, incoherent=incoherent, **facts)
        found = convert(curve, "I(Q)").y
        np.testing.assert_allclose(found, 3.0 * (alone + distinct), rtol=2e-3)


def test_the_model_has_the_same_self_part() -> None:
    """An ideal gas of H and O scatters I_self, per molecule three times as much; a line in g(r) 3 <f>^2 as much."""
    box = Box(("H", "O"), (400, 200), 600 / 0.1002, 0.02 * np.arange(int(0.5 * (600 / 0.1002) ** (1 / 3) / 0.02) + 1))
    alone = (2 * F[0] ** 2 + F[1] ** 2) / 3.0
    curve = Curve(Q, 3.0 * alone, radiation="xray", per=3.0, name="water", **WATER)
    measured = ForwardModel(curve, box).measurement((1.0, 8.0))
    np.testing.assert_allclose(measured.shown.predict(box.ideal_counts), 3.0 * alone, rtol=1e-9)
    other = ForwardModel(replace(curve, y=0.0 * Q, quantity="F(Q)"), box).measurement((1.0, 8.0))
    np.testing.assert_allclose(measured.shown.matrix, 3.0 * other.shown.matrix, rtol=1e-12)
    np.testing.assert_allclose(measured.total.matrix, other.total.matrix, rtol=1e-12)
    np.testing.assert_allclose(measured.total_values, other.total_values, atol=1e-9)


def test_a_wrong_unit_is_named() -> None:
    curve = Curve(Q, molecule(), radiation="xray", name="water", **WATER)
    with pytest.raises(InputError, match=r"is per unit of 3 atoms, such as a molecule, or of another scale; mend per"):
        check_curve(curve)
    with pytest.raises(
        InputError, match=r"is per atom, or of another scale; mend per, or divide the y column by 0\.33"
    ):
        check_curve(replace(curve, y=molecule() / 3.0, per=3.0))
    with pytest.raises(InputError, match=r"it is the distinct part alone; declare quantity = \"F\(Q\)\""):
        check_curve(replace(curve, y=(molecule() - 2 * F[0] ** 2 - F[1] ** 2) / 3.0))
    with pytest.raises(InputError, match=r"or declare quantity = \"I\(Q\)\" and what it is per"):
        check_curve(replace(curve, quantity="F(Q)"))


def test_what_is_odd_at_high_q_is_doubted() -> None:
    """No whole number of atoms; and neutrons on hydrogen, whose self part inelasticity lowers."""
    curve = Curve(Q, 1.5 * molecule() / 3.0, radiation="xray", name="water", **WATER)
    (doubt, *_) = [text for text in check_curve(curve) if "by itself" in text]
    assert "1.50 times what an atom scatters by itself, and per 1 is declared; check what is subtracted" in doubt
    facts = WATER | {"isotopes": {"H": 1}, "incoherent": True, "per": 3.0}
    probe = Curve(Q, Q, radiation="neutron", **facts)
    fallen = 3.0 * probe.self_intensity(Q) / (1.0 + (Q / 10.0) ** 2)
    assert any("inelasticity of hydrogen" in text for text in check_curve(replace(probe, y=fallen)))


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"normalisation": "faber-ziman"}, 'declare normalisation = "keen"'),
        ({"pair": ("H", "O")}, "I(Q) is of all atoms, and H-O is a partial"),
        ({"per": 0.0}, "0 atoms are no unit of I(Q)"),
        ({"per": math.nan}, "nan atoms are no unit"),
    ],
)
def test_what_is_no_intensity(facts: dict, line: str) -> None:
    with pytest.raises(InputError) as refusal:
        Curve(Q, molecule(), radiation="xray", **(WATER | facts))
    assert line in str(refusal.value)


def test_the_composition_is_needed() -> None:
    with pytest.raises(ConversionError, match=r"I\(Q\) needs the composition"):
        convert(Curve(Q, molecule(), radiation="xray", **(WATER | {"composition": {}})), "F(Q)")


def test_convert_writes_what_it_is_and_reads_it_back(tmp_path: Path) -> None:
    source, out = tmp_path / "i.txt", tmp_path / "f.txt"
    source.write_text(curve_text(Curve(Q, molecule(), radiation="xray", per=3.0, **WATER)))
    assert "# per = 3 atoms\n# self = coherent\n" in source.read_text()
    words = ["convert", source, "--quantity", "I(Q)", "--normalisation", "keen", "--radiation", "xray", "--to", "F(Q)"]
    words += ["--composition", "H2O", "--number-density", "0.1002", "--out", out]
    ran = CliRunner().invoke(app, [str(word) for word in (*words, "--per", "H2O")])
    assert ran.exit_code == 0, ran.output
    facts = {key: WATER[key] for key in ("composition", "number_density", "normalisation")}
    back = read_curve(out, quantity="F(Q)", radiation="xray", check=False, **facts)
    np.testing.assert_allclose(back.y, (molecule() - 2 * F[0] ** 2 - F[1] ** 2) / 3.0, atol=1e-8)
    for per, line in (("HO", "HO is no formula of the composition"), ("1/2", "'1/2' is neither atom nor a formula")):
        ran = CliRunner().invoke(app, [str(word) for word in (*words, "--per", per)])
        assert ran.exit_code == 2
        assert line in ran.stderr
