"""A curve is checked when it is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.curves.quantities import QUANTITIES, is_q_space
from refine.errors import ConversionError, InputError

Q = np.linspace(0.1, 10.0, 100)


def make(**changes: Any) -> Curve:
    return Curve(**{"x": Q, "y": np.ones_like(Q), "source": "data.csv", **changes})


def test_a_curve_knows_its_range_and_composition() -> None:
    curve = make(composition={"Si": 1, "O": 2}, q_min=3.0)
    assert (curve.q_min, curve.q_max) == (0.1, 10.0)
    assert curve.species == ("Si", "O")
    np.testing.assert_allclose(curve.fractions, [1 / 3, 2 / 3])
    assert curve.in_q_space


def test_quantities_know_their_space() -> None:
    assert [is_q_space(quantity) for quantity in QUANTITIES] == [True] * 5 + [False] * 5
    with pytest.raises(InputError, match="unknown quantity"):
        is_q_space("s(q)")


def test_values_are_copied_and_read_only() -> None:
    y = np.ones_like(Q)
    curve = make(y=y)
    y[0] = 7.0
    assert curve.y[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        curve.y[0] = 2.0


def test_cropping_moves_the_q_range_of_a_q_curve_only() -> None:
    cut = make(sigma=0.1 * Q).cropped(1.0, 5.0)
    assert cut.q_min == pytest.approx(1.0)
    assert cut.q_max == pytest.approx(5.0)
    assert cut.sigma is not None
    np.testing.assert_allclose(cut.sigma, 0.1 * cut.x)
    real = make(quantity="g(r)", q_min=0.5, q_max=20.0).cropped(2.0, 8.0)
    assert (real.q_min, real.q_max) == (0.5, 20.0)
    with pytest.raises(InputError, match="only 0 points lie between 20 and 30"):
        make().cropped(20.0, 30.0)


def test_distinct_factor_of_a_curve() -> None:
    silica = make(quantity="F(Q)", normalisation="keen", composition={"Si": 1, "O": 2})
    assert silica.distinct_factor(1.0)[0] == pytest.approx(0.2756, abs=1e-3)  # barn, b_Si = 4.15 fm
    assert silica.distinct_factor(1.0, "faber-ziman")[0] == 1.0
    assert make(pair=("Si", "O"), radiation=None).distinct_factor([1.0, 2.0]).tolist() == [1.0, 1.0]
    with pytest.raises(ConversionError, match="needs the composition"):
        make(quantity="F(Q)", normalisation="keen").distinct_factor(1.0)


def _with(array: np.ndarray, index: int, value: float) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity": "S(q)"}, "unknown quantity"),
        ({"normalisation": "barn"}, "unknown normalisation"),
        ({"radiation": "electron"}, "unknown radiation"),
        ({"radiation": None}, "unknown radiation"),
        ({"window": "hann"}, "unknown window"),
        ({"normalisation": "keen"}, r"S\(Q\) is not defined in the keen normalisation"),
        ({"quantity": "g(r)", "normalisation": "keen"}, r"g\(r\) is not defined"),
        ({"quantity": "T(r)", "normalisation": "keen", "radiation": "xray"}, "depends on Q"),
        ({"quantity": "F(Q)", "normalisation": "keen", "pair": ("Si", "O")}, "Faber-Ziman by definition"),
        ({"pair": ("Si", "Fe"), "composition": {"Si": 1, "O": 2}}, "'Fe' of the pair"),
        ({"number_density": -0.1}, "number density"),
        ({"number_density": float("nan")}, "number density"),
        ({"composition": {"Si": 0.0}}, "composition must be positive"),
        ({"quantity": "g(r)", "q_min": 5.0, "q_max": 3.0}, "not a range"),
        ({"quantity": "g(r)", "window": "lorch"}, "Q_max, which is unknown"),
        ({"x": Q[:3], "y": Q[:3]}, "only 3 points"),
        ({"y": Q[:-1]}, "x has 100 points and y has 99"),
        ({"sigma": Q[:-1]}, "sigma has 99"),
        ({"x": Q[:, None]}, "one column"),
        ({"y": _with(Q, 4, np.nan)}, r"S\(Q\) is nan at point 5"),
        ({"x": _with(Q, 4, np.inf)}, "Q is inf at point 5"),
        ({"x": Q[::-1]}, "must increase"),
        ({"x": _with(Q, 4, Q[3])}, "appears twice"),
        ({"x": Q - 1.0}, "is negative"),
        ({"sigma": _with(Q, 9, -1.0)}, "sigma is -1"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        make(**changes)
    if "quantity" not in message:  # an unknown quantity is named by its key
        assert str(refusal.value).startswith("data.csv: ")
