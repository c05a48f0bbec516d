"""A synthetic output folder with curves that look like those of a real run."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MakeRun = Callable[..., Path]


def _g_of_r(r: np.ndarray, sigma: float, order: float) -> np.ndarray:
    """A liquid-like g(r): zero inside sigma, damped oscillation with period of about 0.93 sigma outside."""
    x = r / sigma - 1.09
    decay = order * (1.4 * np.exp(-x / 0.25) + 0.55 * np.exp(-x / 1.1))
    return (1 + decay * np.cos(2 * np.pi * x / 0.93)) / (1 + np.exp(-(r - 0.985 * sigma) / (0.022 * sigma)))


def _structure_factor(q: np.ndarray, sigma: float, order: float, density: float) -> np.ndarray:
    r = np.arange(0.01, 40, 0.02)
    kernel = np.sin(np.outer(q, r)) / q[:, None]
    return 1 + 4 * np.pi * density * kernel @ (r * (_g_of_r(r, sigma, order) - 1)) * 0.02


def _curve(quantity: str, x: np.ndarray, sigma: float, order: float) -> np.ndarray:
    """A curve over Q for S(Q), over r for anything else."""
    return _structure_factor(x, sigma, order, 0.02125) if quantity == "S(Q)" else _g_of_r(x, sigma, order)


def _write_csv(path: Path, header: str, *columns: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = (",".join("" if math.isnan(v) else f"{v:.8g}" for v in row) for row in zip(*columns, strict=True))
    path.write_text(header + "\n" + "\n".join(rows) + "\n", encoding="utf-8")


def _data(name: str, quantity: str, role: str, state: str, **extra: Any) -> dict[str, Any]:
    return {
        "name": name,
        "quantity": quantity,
        "normalisation": "faber-ziman",
        "radiation": "neutron",
        "role": role,
        "state": state,
        "points": 240,
        "sigma_source": "estimated",
        "sigma_mean": 0.006,
        "scale": 1.0,
        "fit": "Q 0.5-11.7 1/Å" if role == "fit" else None,
        "score_r": [3.0, 12.0],
        "source": "Yarnell et al., Phys. Rev. A 7, 2130 (1973), 36Ar, 85 K",
        "warnings": [],
        "compared": "S(Q) on the measured points, 0.5 to 11.7 1/Å, no window; both sides see the box's 14.2 Å range",
        **extra,
    }


def _iterations(names: list[str], fitted: list[str], count: int, rejected: set[int]) -> list[dict[str, Any]]:
    listed = []
    for k in range(count):
        fall = math.exp(-0.9 * (k - len([j for j in rejected if j < k])))
        r_chi = {n: (0.118 + 0.02 * i) * fall + 0.008 + 0.002 * i for i, n in enumerate(names)}
        if k in rejected:
            r_chi = {n: 1.7 * x for n, x in r_chi.items()}
        listed.append(
            {
                "iteration": k,
                "accepted": k not in rejected,
                "r_chi": r_chi,
                "chi2": {n: 240 * (1 + 80 * fall**2) for n in fitted},
                "seconds_sampling": 6.2,
                "seconds_solving": 0.31,
                "effective_sample_size": 41.3 * (1 - fall) + 3,
                "frames": 200,
                "predicted_decrease": 12345.6 * fall if k else None,
                "actual_decrease": (-200.0 if k in rejected else 11000.1 * fall) if k else None,
                "gain": (-0.4 if k in rejected else 0.91) if k else None,
                "trust_radius": 0.3,
                "step_kT": 0.29 * fall,
                "prior_amplitude_kT": 0.41,
                "noise_factor": max(1.0, 8 * fall**2),
            }
        )
    return listed


def _correction(pair: tuple[str, str], sigma: float, spread: bool) -> dict[str, Any]:
    r = np.linspace(0.6 * sigma, 2.5 * sigma, 220)
    x = r / sigma
    base = 4 * 0.00775 * ((3.25 / 3.405 / x) ** 12 - (3.25 / 3.405 / x) ** 6)
    target = 4 * 0.01032 * (x**-12.0 - x**-6.0)
    taper = np.where(r < 2.5 * sigma, (1 - (r / (2.5 * sigma)) ** 2) ** 2, 0)
    return {
        "pair": list(pair),
        "r": r.tolist(),
        "phi": (np.clip(target - base, -1, 0.6) * taper).tolist(),
        "stderr": ((0.0004 + 0.002 * np.exp(-(((x - 0.9) / 0.06) ** 2)) + 0.004 * (x < 0.88)) * taper).tolist()
        if spread
        else None,
        "base": base.tolist() if spread else None,
        "knots": np.linspace(0.6 * sigma, 2.5 * sigma, 32).tolist(),
        "coefficients": [0.0] * 32,
        "core": 0.85 * sigma,
        "sampled_r": [0.88 * sigma, 2.5 * sigma],
    }


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes an output folder and returns it.

    Keyword arguments: species, data (list of entries of result.json), states (names), iterations, rejected, spread
    (whether phi has an error and a base), and anything else replaces a top-level key of result.json.
    """

    def make(
        *,
        species: tuple[str, ...] = ("Ar",),
        data: list[dict[str, Any]] | None = None,
        states: tuple[str, ...] = ("85K",),
        iterations: int = 5,
        rejected: frozenset[int] = frozenset(),
        spread: bool = True,
        **replace: Any,
    ) -> Path:
        rng = np.random.default_rng(7)
        out = tmp_path / "out"
        out.mkdir()
        entries = data or [_data("yarnell", "S(Q)", "fit", "85K"), _data("yarnell_gr", "g(r)", "score", "85K")]
        for k, entry in enumerate(entries):
            x = np.arange(0.5, 11.7, 0.047) if entry["quantity"] == "S(Q)" else np.arange(2.0, 14.0, 0.04)
            truth, sigma = _curve(entry["quantity"], x, 3.405 + 0.1 * k, 1.0), np.full(len(x), 0.006)
            noise = rng.normal(0, 0.006, len(x))
            header, columns = (
                "x,measured,sigma,initial,final",
                [
                    x,
                    truth + noise,
                    sigma if entry["sigma_source"] else np.full(len(x), np.nan),
                    _curve(entry["quantity"], x, 3.25 + 0.1 * k, 0.86),
                    _curve(entry["quantity"], x, 3.403 + 0.1 * k, 1.002),
                ],
            )
            if entry["quantity"] == "S(Q)":
                header += ",measured_box"
                columns.append(truth + noise + 0.012 * np.sin(14 * x) / x)
            _write_csv(out / "curves" / f"{entry['name']}.csv", header, *columns)
        pairs = list(itertools.combinations_with_replacement(species, 2))
        r = np.arange(0.01, 14.2, 0.02)
        for state in states:
            curves = [_g_of_r(r, s + 0.12 * i, o) for i, _ in enumerate(pairs) for s, o in ((3.25, 0.86), (3.405, 1.0))]
            header = ["r"] + [f"{a}-{b} {when}" for a, b in pairs for when in ("initial", "final")]
            _write_csv(out / "g_r" / f"{state}.csv", ",".join(header), r, *curves)
        names, fitted = [e["name"] for e in entries], [e["name"] for e in entries if e["role"] == "fit"]
        listed = _iterations(names, fitted, iterations, set(rejected))

        def scores(which: dict[str, Any]) -> dict[str, Any]:
            chi2 = {n: which["chi2"].get(n) for n in names}
            return {"r_chi": which["r_chi"], "chi2": chi2, "points": {n: 240 for n in names}}

        result = {
            "status": "converged",
            "message": "the last change of χ² was within twice its sampling error",
            "title": "Liquid argon at 85 K",
            "initial": scores(listed[0]),
            "final": {**scores(listed[-1]), "r_chi_stderr": {n: 0.0009 for n in fitted}},
            "iterations": listed,
            "correction": [_correction(p, 3.405 + 0.12 * i, spread) for i, p in enumerate(pairs)],
            "data": entries,
            "states": [
                {
                    "name": state,
                    "temperature": 85.0,
                    "number_density": 0.02125,
                    "atoms": 500,
                    "cell": [[28.66, 0, 0], [0, 28.66, 0], [0, 0, 28.66]],
                    "pressure_GPa": 0.0123,
                    "mean_temperature": 84.93,
                }
                for state in states
            ],
            "seconds": 71.3,
            "provenance": {"refine": "0.1.0", "seed": 1, "platform": "Linux x86_64", "versions": {"numpy": "2.3.4"}},
            **replace,
        }
        (out / "result.json").write_text(json.dumps(result), encoding="utf-8")
        (out / "study.toml").write_text('title = "Liquid argon at 85 K"\n\n[system]\nspecies = { Ar = 500 }\n')
        return out

    return make


@pytest.fixture
def crowded_run(make_run: MakeRun) -> Path:
    """Four species (10 pairs), two states, six data sets, long and hostile names, rejected steps, unknown numbers."""
    hostile = "<img src=x onerror=alert(1)> & \"quotes\" 'and' </script><script>alert(2)</script>"
    data = [
        _data("neutron-total-structure-factor-from-a-very-long-beam-time-name", "S(Q)", "fit", "1650 K"),
        _data("xray", "F(Q)", "fit", "1650 K", radiation="xray", normalisation="keen", scale=0.9873, source=hostile),
        _data("tr", "T(r)", "score", "1650 K", sigma_source=None, sigma_mean=None, score_r=None),
        _data("dr", "D(r)", "score", "2000 K", normalisation="keen"),
        _data("jr", "J(r)", "fit", "2000 K", warnings=["the curve tends to 0.94, not 1; " + hostile]),
        _data("partial", "g(r)", "fit", "2000 K", radiation=None, pair=["Si", "O"]),
    ]
    out = make_run(
        species=("Na", "Al", "Si", "O"),
        data=data,
        states=("1650 K", "2000 K"),
        iterations=14,
        rejected=frozenset({3, 6, 7}),
        spread=False,
        status="iterations-exhausted",
        message="χ² was still falling by 4 % in the last iteration",
        title="Sodium aluminosilicate melt against six data sets, a title that is rather long " + hostile,
    )
    result = json.loads((out / "result.json").read_text())
    result["final"]["chi2"]["tr"] = None
    result["final"]["r_chi"]["tr"] = float("nan")
    result["final"]["r_chi"]["jr"] = 0.3
    result["iterations"][5]["effective_sample_size"] = float("nan")
    (out / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return out
