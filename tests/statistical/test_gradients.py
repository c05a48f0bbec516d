"""One derivative three ways: fluctuation formula, backprop through windows, differences of independent runs.

108 argon atoms, Lennard-Jones cut at 6 Å, 95 K. The derivative is that of the height of the first maximum of g(r), seen
through an experiment's Q range up to 9 1/Å (what makes it smooth enough for backprop), with respect to the coefficient
of the correction that is centred under it. Fixed seeds. Required: every two of them agree within three combined errors,
and each error is at most a fifth of the value, so that the test could fail: a wrong factor of two or a sign would be at
least three errors off.
"""

import numpy as np
import pytest

from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.tasks.sensitivity import parse_parameter, parse_quantity, sensitivity

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradients")
    r = np.arange(0.05, 8.0, 0.05)
    g = 1 / (1 + np.exp(-(r - 3.35) / 0.1)) * (1 + 1.5 * np.exp(-((r - 3.75) ** 2) / 0.2))
    np.savetxt(folder / "gr.csv", np.column_stack([r, g]), delimiter=",", header="r,g", comments="")
    config = StudyConfig.parse(
        {
            "system": {"species": {"Ar": 108}, "number_density": 0.02},
            "states": [{"name": "95K", "temperature": 95.0}],
            "data": [
                {
                    "name": "argon",
                    "file": "gr.csv",
                    "quantity": "g(r)",
                    "radiation": "neutron",
                    "q_range": [0.3, 9.0],
                    "score_r": [3.0, 6.0],
                    "fit_r": [2.5, 6.0],
                }
            ],
            "model": {"base": "lennard-jones", "parameters": {"epsilon": 0.010324, "sigma": 3.405}},
            "correction": {"knots": 12, "r_min": 2.8, "r_cut": 6.0},
            "sampling": {"timestep": 10.0, "equilibration": 6.0, "frames": 100, "stride": 10, "replicas": 1, "seed": 1},
        },
        folder=folder,
    )
    return sensitivity(
        Study(config),
        of=parse_quantity("argon:g(r):height@3..5"),
        parameter=parse_parameter("Ar-Ar@3.87"),
        frames=2000,
        windows=64,
        steps=100,
    )


def test_three_ways_agree(found):
    print(found.table())
    three = [found.by(method) for method in ("fluctuation", "backprop", "finite differences")]
    for k, a in enumerate(three):
        assert a.stderr < 0.2 * abs(a.value), found.table()
        for b in three[:k]:
            assert abs(a.value - b.value) < 3 * np.hypot(a.stderr, b.stderr), found.table()


def test_backprop_agrees_with_the_response_in_its_window(found):
    """-beta [Cov(O, N) - Cov(O(t), N(0))]: right for any length of window, within three combined errors."""
    a, b = found.by("fluctuation, window"), found.by("backprop")
    assert abs(a.value - b.value) < 3 * np.hypot(a.stderr, b.stderr), found.table()


def test_single_windows_grow_exponentially(found):
    """The exponent of argon is of the order of one per ps; the fluctuation formula has nothing of the kind."""
    assert 0.2 < found.growth_exponent < 3.0
    assert found.growth_norm[-1] > 1.5 * found.growth_norm[0]
