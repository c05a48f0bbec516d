"""A whole run on a small box with every method but Gauss-Newton: it finishes, writes its outputs, and resumes.

The box, the force field and the sampling are the same for all methods, so that they share their compiled samplers.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refine import Study
from refine.export.read import read_correction
from tests import small_box
from tests.listening import Stop, StopIn

METHODS = {
    "ibi": ['refinement.method="ibi"', 'data.0.role="score"', 'data.1.role="fit"'],
    "difftre": ['refinement.method="difftre"'],
    "difftre-base": ['refinement.method="difftre"', 'refinement.parameters=["epsilon","sigma"]'],
    "epsr": ['refinement.method="epsr"'],
    "rmc": ['refinement.method="rmc"', "refinement.moves=2", "refinement.minimum_distances={ Ar-Ar = 2.8 }"],
    "backprop": ['refinement.method="backprop"', "refinement.windows=4", "refinement.window_steps=10"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small box."""
    return small_box.write(tmp_path_factory.mktemp("methods")).parent


@pytest.fixture(scope="module")
def run(folder: Path) -> Callable[..., Path]:
    """run(method, out, **options) -> output folder; everything that is compiled is made once for all runs of it."""
    shared: dict[str, list] = {}
    studies: dict[str, Study] = {}

    def once(name: str, make: Callable[..., list]) -> Callable[..., list]:
        def made(*args: object, **options: object) -> list:
            if name not in shared:
                shared[name] = make(*args, **options)
            return shared[name]

        return made

    def run(method: str, out: str, **options: object) -> Path:
        if method not in studies:
            study = Study.from_toml(folder / "study.toml", METHODS[method])
            study.samplers = once("samplers", study.samplers)
            study.movers = once("movers", study.movers)
            study.adjoints = once("adjoints", study.adjoints)
            studies[method] = study
        studies[method].run(folder / out, **options)
        return folder / out

    return run


@pytest.fixture(scope="module")
def finished(run: Callable[..., Path]) -> Callable[[str], Path]:
    """finished(method): the folder of its uninterrupted run, made at the first call."""
    done: dict[str, Path] = {}
    return lambda method: done[method] if method in done else done.setdefault(method, run(method, method))


def result_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def numbers(out: Path) -> dict:
    """result.json without what a clock or a machine puts in."""
    result = result_of(out)
    for row in result["iterations"]:
        row.pop("seconds_sampling"), row.pop("seconds_solving")
    return {key: value for key, value in result.items() if key not in ("seconds", "provenance")}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_finishes_and_writes_its_outputs(finished, method):
    out = finished(method)
    result = result_of(out)
    assert result["status"] in ("converged", "iterations-exhausted")
    assert len(result["iterations"]) == 3  # base model, one update, final sample
    for scores in (result["initial"], result["final"], *result["iterations"]):
        assert set(scores["r_chi"]) == {"sq", "gr"}
        assert all(0.0 < value < 2.0 for value in scores["r_chi"].values())
    assert (out / "report.html").stat().st_size > 100_000
    assert {path.name for path in (out / "curves").iterdir()} == {"sq.csv", "gr.csv"}
    g = np.loadtxt(out / "g_r" / "85K.csv", delimiter=",", skiprows=1)
    peak = g[np.argmax(g[:, 2]), 0]
    assert 3.4 < peak < 4.1


@pytest.mark.parametrize("method", ["ibi", "difftre", "epsr", "backprop"])
def test_a_correction_comes_out(finished, method):
    """It is seen (0.005 kT) and not too large to be true (0.5 kT), ends at r_cut, and raised chi^2 within errors."""
    result = result_of(finished(method))
    kt = 0.00732
    (correction,) = result["correction"]
    r, phi = np.array(correction["r"]), np.array(correction["phi"])
    inside = r > correction["sampled_r"][0] + 0.3
    assert 0.005 * kt < np.sqrt(np.mean(phi[inside] ** 2)) < 0.5 * kt
    first, last = result["iterations"][0], result["iterations"][-1]
    error = np.hypot(first["chi2_fitted_stderr"], last["chi2_fitted_stderr"])
    assert last["chi2_fitted"] < first["chi2_fitted"] + 3.0 * error
    assert abs(phi[-1]) < 1e-9
    assert result["yields_potential"]
    assert result["parameters"] is None


def test_parameters_of_the_base_come_out(finished):
    """Both parameters moved, by a few learning rates at most, and the correction stayed zero."""
    out = finished("difftre-base")
    result = result_of(out)
    exported = read_correction(out).base()
    assert exported.sigma[0] == result["parameters"]["sigma Ar-Ar"]["final"]
    assert set(result["parameters"]) == {"epsilon Ar-Ar", "sigma Ar-Ar"}
    for name, start in (("epsilon Ar-Ar", 0.0095), ("sigma Ar-Ar", 3.38)):
        assert result["parameters"][name]["initial"] == pytest.approx(start)
        assert result["parameters"][name]["final"] != pytest.approx(start, rel=1e-6)
        assert result["parameters"][name]["final"] == pytest.approx(start, rel=0.5)
    assert all(np.all(np.array(pair["coefficients"]) == 0.0) for pair in result["correction"])


def test_reverse_monte_carlo_fits_and_says_that_no_potential_comes_out(finished):
    out = finished("rmc")
    result = result_of(out)
    assert not result["yields_potential"]
    assert all(np.all(np.array(pair["coefficients"]) == 0.0) for pair in result["correction"])
    assert result["final"]["r_chi"]["sq"] < 0.7 * result["initial"]["r_chi"]["sq"]
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "no potential" in text[: text.index('id="figures"')].lower()


@pytest.mark.parametrize("method", ["rmc", "difftre-base", "backprop"])
def test_interrupted_and_resumed_is_the_same(folder, run, finished, monkeypatch, method):
    """Stopped inside the second sample, at the start of the third and, where there is such a stage, between windows."""
    finished(method)
    monkeypatch.setattr("refine.tasks.run.loop.SAVE_INTERVAL", 0.0)
    stops = [StopIn("sampling 1", 2), StopIn("sampling 2", 1)]
    if method == "backprop":
        stops.append(StopIn("differentiating", 2))
    for k, stop in enumerate(stops):
        with pytest.raises(Stop):
            run(method, f"{method}-parts", resume=k > 0, progress=stop)
    run(method, f"{method}-parts", resume=True)
    assert numbers(folder / f"{method}-parts") == numbers(folder / method)
