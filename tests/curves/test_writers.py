"""Written curves say their convention and read back the same."""

from pathlib import Path

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.curves.readers import read_curve
from refine.curves.writers import curve_text
from refine.errors import InputError

Q, R = np.arange(0.5, 20.0, 0.05), np.arange(0.02, 10.0, 0.02)
CURVES = [
    Curve(Q, 1 + np.sin(3 * Q) / Q, np.full(len(Q), 0.01), number_density=0.066, composition={"Si": 1, "O": 2}),
    Curve(Q, np.sin(3 * Q), quantity="Q[S(Q)-1]", radiation="xray", charges={"Fe": 2}, composition={"Fe": 1}),
    Curve(R, np.cos(R), quantity="D(r)", window="lorch", q_min=0.5, q_max=20.0, isotopes={"Ar": 36}),
    Curve(R, np.cos(R), quantity="g(r)", radiation=None, pair=("Si", "O"), number_density=0.066),
]


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.quantity)
def test_read_back(curve: Curve, tmp_path: Path) -> None:
    path = tmp_path / "curve.txt"
    path.write_text(curve_text(curve), encoding="utf-8")
    back = read_curve(
        path,
        quantity=curve.quantity,
        radiation=curve.radiation,
        window=curve.window,
        pair=curve.pair,
        check=False,
    )
    np.testing.assert_allclose(back.x, curve.x, rtol=1e-9)
    np.testing.assert_allclose(back.y, curve.y, rtol=1e-9, atol=1e-12)
    assert (back.sigma is None) == (curve.sigma is None)
    assert (back.q_min, back.q_max) == pytest.approx((curve.q_min, curve.q_max))  # of r-space curves from the header
    assert back.header["quantity"] == curve.quantity
    assert back.header["window"] == curve.window
    assert back.header.get("composition", "").split("=")[0] == next(iter(curve.composition), "")


def test_isotopes_are_written_as_convert_takes_them() -> None:
    curve = Curve(Q, Q, quantity="F(Q)", isotopes={"H": {1: 0.36, 2: 0.64}, "Cl": 37})
    assert "# isotopes = H=1:0.36+2:0.64 Cl=37\n" in curve_text(curve)


def test_charges_are_written_as_convert_takes_them() -> None:
    from refine.cli.commands.convert import _charges

    curve = Curve(Q, Q, quantity="F(Q)", radiation="xray", charges={"O": (-0.86, 2.01), "Fe": 2})
    assert "# charges = O=-0.86:2.01 Fe=2\n" in curve_text(curve)
    assert _charges("--charges", "O=-0.86:2.01,Fe=2") == curve.charges
    for wrong in ("O=-0.86", "O=1:0", "O=:2", "O=1:-2", "O=nan:2"):
        with pytest.raises(InputError, match="is not of the form NAME=N or NAME=CHARGE:WIDTH"):
            _charges("--charges", wrong)


def test_a_hostile_name_stays_in_its_line() -> None:
    text = curve_text(Curve(Q, Q, quantity="F(Q)", source="evil\n0 0\n#"))
    assert "# source = evil?0 0?#\n" in text
    assert all(line.startswith("#") or len(line.split()) == 2 for line in text.splitlines())
