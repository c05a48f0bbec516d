"""A judged sample, as a run's record and result.json hold it."""

from __future__ import annotations

import json

import pytest

from refine.refinement.fitted import Fitted, FittedCurve, Forecast
from refine.results.judged import JudgedSample
from refine.results.schema import Iteration

CURVES = {"x": FittedCurve(1.01, 0.02, [], [], 1.0), "n": FittedCurve(1.0, 0.0, [-0.3], [0.1], 2.5)}
FIRST = JudgedSample(0, True, "", 80, Fitted(20.0, 0.0), 91.5, 0.1 + 0.2)


def judged(fitted: Fitted) -> JudgedSample:
    return JudgedSample(3, False, "step taken back", 80, fitted, 41.0, 1.0 / 3.0, -2.5, 0.7, 12.0, 0.25)


def test_a_row_has_the_columns_of_before() -> None:
    """Those that files of before have, so that runs of before are read and gone on with."""
    row = judged(Fitted(61.5, 0.12, 0.3, CURVES, Forecast(None, 0.8, 2.0), {"directions": 4.5})).to_json()
    assert row == {
        "iteration": 3,
        "accepted": False,
        "reason": "step taken back",
        "frames": 80,
        "seconds_sampling": 12.0,
        "seconds_solving": 0.25,
        "effective_sample_size": 61.5,
        "step_kT": 0.12,
        "trust_radius": 0.3,
        "noise_factor": 2.5,
        "noise_factors": {"x": 1.0, "n": 2.5},
        "scales": {"x": 1.01, "n": 1.0},
        "scales_stderr": {"x": 0.02, "n": 0.0},
        "backgrounds": {"x": [], "n": [-0.3]},
        "backgrounds_stderr": {"x": [], "n": [0.1]},
        "predicted_decrease": None,
        "gain": 0.8,
        "prior_amplitude_kT": 2.0,
        "directions": 4.5,
        "chi2_fitted": 41.0,
        "chi2_fitted_stderr": 1.0 / 3.0,
        "actual_decrease": -2.5,
        "actual_decrease_error": 0.7,
    }
    assert FIRST.to_json().keys() == {
        *("iteration", "accepted", "reason", "frames", "seconds_sampling", "seconds_solving"),
        *("effective_sample_size", "step_kT"),
        *("chi2_fitted", "chi2_fitted_stderr", "actual_decrease", "actual_decrease_error"),
    }


def test_a_row_comes_back() -> None:
    forecast, numbers = Forecast(3.5, 0.8, 2.0), {"directions": 4.5, "amplitudes": [0.5, 0.25]}
    for one in (FIRST, judged(Fitted(61.5, 0.12, 0.3, CURVES, forecast, numbers))):
        again = JudgedSample.from_json(json.loads(json.dumps(one.to_json())))
        assert again == one
        assert again.misfit == one.misfit


def test_a_row_of_the_first_layout_comes_back() -> None:
    """As reverse Monte Carlo wrote it, with a chi2 that no longer says anything and without times."""
    row = {
        "iteration": 0, "accepted": True, "reason": "", "frames": 80, "effective_sample_size": 80.0, "step_kT": 0.0,
        "chi2": 91.5, "chi2_fitted": 91.5, "chi2_fitted_stderr": 7.0, "actual_decrease": None,
        "actual_decrease_error": None,
    }  # fmt: skip
    assert JudgedSample.from_json(row) == JudgedSample(0, True, "", 80, Fitted(80.0, 0.0), 91.5, 7.0)


@pytest.mark.parametrize("name", ["chi2", "scales", "accepted"])
def test_numbers_of_a_rule_do_not_hide_other_columns(name: str) -> None:
    assert name in Iteration.model_fields
    with pytest.raises(ValueError, match=f"{name}: .* other columns"):
        judged(Fitted(61.5, 0.12, numbers={name: 1.0}))
