"""Do the error bars mean what they say? 40 recoveries of random smooth corrections from noisy x-ray and neutron S(Q).

Each draws three pair corrections of a binary mixture from the prior (0.1 kT, 0.5 Å), makes both curves with another
seed in a larger box, adds noise, and refines the base model with 300 atoms. Counted is how often the true phi(r) lies
within the stated 68 and 95 % bands, over all pairs and r from where atoms meet to 0.5 Å before the cutoff. Points of
one fit are not independent, so the mean over 40 fits scatters at most as 40 Bernoulli trials do: within two sigma 54 to
82 % and 88 to 100 %.

    make calibration        about half an hour on two cores; COVERAGE=file keeps the numbers of every fit
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from refine.refinement.inference.posterior import band

from . import mixture

FITS = 40
R = {("Ar", "Ar"): 3.3, ("Ar", "Kr"): 3.4, ("Kr", "Kr"): 3.5}
"""Where atoms of a pair meet: g(r) of the base reaches about 0.2, Å."""

laboratory = mixture.Laboratory()


def recovery(seed: int) -> dict:
    """One hidden correction, measured and refined; errors and bands in kT by pair."""
    import jax

    cache = Path(tempfile.gettempdir()) / f"refine-calibration-{os.getuid()}"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    true = mixture.random_correction(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        laboratory.measure(folder, true, 1000 + seed)
        result = mixture.study(folder, seed=seed + 1).run(folder / "out")
    found = {"seed": seed, "status": result.status, "iterations": len(result.iterations), "pairs": {}}
    for p, pair in enumerate(mixture.PAIRS):
        r = np.arange(R[pair], mixture.R_CUT - 0.5, 0.1)
        error = result.correction.energy(r)[p] - true.energy(r)[p]
        width = band(result.correction, result.covariance, r)[p]
        found["pairs"]["-".join(pair)] = {
            "error_kT": (error / mixture.KT).tolist(),
            "band_kT": (width / mixture.KT).tolist(),
            "true_kT": (true.energy(r)[p] / mixture.KT).tolist(),
        }
    return found


def recoveries(seeds: range) -> list[dict]:
    """All of them, on every core: one process a core, each with its share of the seeds and programs compiled once."""
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from statistical.test_calibration import recovery; "
        "print(json.dumps([recovery(int(seed)) for seed in sys.argv[2:]]))"
    )
    cores = os.cpu_count() or 1
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1])]
    shares = [[str(seed) for seed in seeds[k::cores]] for k in range(cores)]
    running = [subprocess.Popen([*command, *share], stdout=subprocess.PIPE, text=True) for share in shares if share]
    outputs = [process.communicate()[0] for process in running]
    assert all(process.returncode == 0 for process in running), "a recovery failed; see its traceback above"
    return [fit for output in outputs for fit in json.loads(output.splitlines()[-1])]


def coverage(fits: list[dict], z: float) -> float:
    """Share of points within z standard errors, every fit with the same weight."""
    inside = [
        np.concatenate([np.abs(p["error_kT"]) < z * np.array(p["band_kT"]) for p in fit["pairs"].values()]).mean()
        for fit in fits
    ]
    return float(np.mean(inside))


@pytest.mark.calibration
@pytest.mark.timeout(5400)
def test_bands_cover_what_they_say():
    fits = recoveries(range(FITS))
    if "COVERAGE" in os.environ:
        Path(os.environ["COVERAGE"]).write_text(json.dumps(fits))
    one, two = coverage(fits, 1.0), coverage(fits, 1.96)
    rms = np.sqrt(np.mean([np.square(p["error_kT"]).mean() for fit in fits for p in fit["pairs"].values()]))
    true = np.sqrt(np.mean([np.square(p["true_kT"]).mean() for fit in fits for p in fit["pairs"].values()]))
    ratios = [np.divide(p["error_kT"], p["band_kT"]) for fit in fits for p in fit["pairs"].values()]
    z = np.sqrt(np.mean([np.square(ratio).mean() for ratio in ratios]))
    words = f"68 % band {one:.2f}, 95 % band {two:.2f}, error over band {z:.2f}, "
    words += f"rms error {rms:.3f} of {true:.3f} kT, {FITS} fits"
    print(words)
    assert 0.54 <= one <= 0.82, words
    assert two >= 0.88, words
    assert 0.75 <= z <= 1.35, words  # about 200 independent numbers: 5 %
    assert rms < 0.85 * true, words
