"""What a rule found, as a run's record and result.json hold it."""

from __future__ import annotations

import json

from refine.refinement.fitted import Fitted, FittedCurve

CURVES = {"x": FittedCurve(1.01, 0.02, 0.0, 0.0, 1.0), "n": FittedCurve(1.0, 0.0, -0.3, 0.1, 2.5)}


def test_a_row_has_the_columns_of_before() -> None:
    """Those that files of before have, so that runs of before are read and gone on with."""
    row = Fitted(61.5, 0.12, 0.3, CURVES, {"gain": 0.8}).to_json()
    assert row == {
        "effective_sample_size": 61.5,
        "step_kT": 0.12,
        "trust_radius": 0.3,
        "noise_factor": 2.5,
        "noise_factors": {"x": 1.0, "n": 2.5},
        "scales": {"x": 1.01, "n": 1.0},
        "scales_stderr": {"x": 0.02, "n": 0.0},
        "backgrounds": {"x": 0.0, "n": -0.3},
        "backgrounds_stderr": {"x": 0.0, "n": 0.1},
        "gain": 0.8,
    }
    assert Fitted(61.5, 0.12).to_json() == {"effective_sample_size": 61.5, "step_kT": 0.12}


def test_a_row_comes_back() -> None:
    for one in (Fitted(61.5, 0.12, 0.3, CURVES), Fitted(20.0, 0.0)):
        assert Fitted.from_json({"iteration": 3, **json.loads(json.dumps(one.to_json()))}) == one
