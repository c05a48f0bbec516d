"""Folders as finished runs leave them, as far as `refine.export` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from refine.potentials.correction import PairCorrection, SplineBasis

STUDY = """
title = "A melt"
[system]
species = {{ {species} }}
number_density = 0.02
[[states]]
name = "hot"
temperature = 2000.0
[[data]]
name = "x"
file = "x.csv"
quantity = "S(Q)"
radiation = "xray"
[model]
{model}
[correction]
r_min = 1.5
r_cut = {r_cut}
"""


def pairs_of(counts: dict[str, int]) -> tuple[tuple[str, str], ...]:
    species = tuple(counts)
    return tuple((a, b) for i, a in enumerate(species) for b in species[i:])


def correction(
    counts: dict[str, int], *, active: tuple[bool, ...] | None = None, r_cut: float = 6.0, seed: int = 4
) -> PairCorrection:
    """At random, with cores of 1.5 Å and more."""
    pairs, basis = pairs_of(counts), SplineBasis(1.5, r_cut, 14)
    zero = PairCorrection.zero(pairs, basis, active=active, stiffness=170.0)
    theta = np.random.default_rng(seed).normal(scale=0.1, size=len(zero.theta))
    return zero.with_theta(theta).with_core(1.5 + 0.4 * np.arange(len(pairs)))


def rows(phi: PairCorrection, **more: Any) -> list[dict[str, Any]]:
    """As `refine.results.writer` writes them."""
    r = np.arange(1.6, phi.cutoff, 0.02)
    return [
        {
            "pair": list(phi.pairs[p]),
            "r": r.tolist(),
            "phi": phi.energy(r)[p].tolist(),
            "stderr": (0.01 * r).tolist(),
            "base": None,
            "knots": phi.basis.knots.tolist(),
            "coefficients": phi.coefficients[p].tolist(),
            "core": float(phi.core[p]),
            "wall": float(phi.wall[p]),
            "stiffness": phi.stiffness,
            "sampled_r": [1.8, phi.cutoff],
            **more,
        }
        for p in phi.active_pairs
    ]


def run_folder(
    folder: Path, counts: dict[str, int], model: str, table: list[dict[str, Any]], *, r_cut: float = 6.0, **changes: Any
) -> Path:
    """model: lines of [model]; table: `rows`; changes: of result.json."""
    states = [{"name": "hot", "temperature": 2000.0, "atoms": counts}]
    scores = {"r_chi": {"x": 0.1}, "chi2": {"x": 20.0}}
    data = {"name": "x", "quantity": "S(Q)", "normalisation": "faber-ziman", "role": "fit", "state": "hot"}
    result = {
        "status": "converged",
        "initial": scores,
        "final": scores,
        "iterations": [],
        "correction": table,
        "yields_potential": True,
        "data": [data],
        "states": states,
    } | changes
    (folder / "result.json").write_text(json.dumps(result))
    species = ", ".join(f"{symbol} = {n}" for symbol, n in counts.items())
    (folder / "study.toml").write_text(STUDY.format(species=species, model=model, r_cut=r_cut))
    return folder
