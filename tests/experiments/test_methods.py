"""The bench of update rules: its verdicts, and that it runs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.experiments.scripts import script

methods = script(Path(__file__).parents[2] / "experiments" / "benchmarks" / "methods.py")


def trace(steps, r_chi):
    return methods.Trace(steps, [1.0] * len(steps), r_chi, [0.001] * len(steps), None)


def test_a_fifth_of_the_steps_of_ibi_is_asked_for():
    ibi = trace([10_000, 20_000, 30_000], [0.3, 0.1, 0.1])
    found = methods.verdicts(
        {"ibi": ibi, "gauss-newton": trace([2000, 4000], [0.3, 0.09]), "fluctuation": trace([2000, 5000], [0.3, 0.2])}
    )
    assert found == [
        "gauss-newton / ibi: 4000 / 20000 = 0.200, target 0.2: met",
        "fluctuation does not reach IBI's plateau within its budget: no target is met",
    ]


def test_of_argon_it_is_steps_of_its_own():
    traces = {"ibi": trace([10_000, 20_000], [0.3, 0.1]), "closure": trace([2000, 8000], [0.3, 0.09])}
    assert methods.verdicts(traces, 7100) == ["closure: 8000, target 7100: not met"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["argon", "cacl2"])
def test_it_runs(name, monkeypatch, capsys):
    """With a laboratory so short that only the road is tested: totals and partials."""
    liquid = methods.LIQUIDS[name]
    short = replace(liquid.laboratory, size=1, frames=20, picoseconds=0.2)
    monkeypatch.setitem(methods.LIQUIDS, name, replace(liquid, laboratory=short, equilibration=0.2, settle=0.1))
    found = methods.report(name, ["gauss-newton", "ibi-short"], 3000, 0)
    json.dumps(found)
    assert "failed" not in capsys.readouterr().out
    assert set(found["traces"]) == {"gauss-newton", "ibi-short"}
