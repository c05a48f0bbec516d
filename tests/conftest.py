"""What the tests of several packages share. Nothing slow is imported before it is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.compiled import processor
from refine.threads import VARIABLE

UNUSED = 14 * 86400
"""Seconds after which a program that tests have compiled goes."""


LONGER = (
    "experiments/*",
    "statistical/*",
    "kernels/*",
    "kernels/mace/*",
    "sampling/jax/*",
    "sampling/moves/*",
    "sampling/test_engines.py",
    "sampling/test_schedule.py",
    "sampling/test_watch.py",
    "learning/test_[!f]*",
    "potentials/test_*",
    "potentials/classical/test_lammps.py",
    "potentials/classical/test_sets.py",
    "potentials/mace/reader/*",
    "potentials/mace/test_download.py",
    "potentials/mace/test_functional.py",
    "potentials/mace/test_model.py",
    "potentials/mace/test_parity.py",
    "potentials/mace/test_second_opinion.py",
    "potentials/mace/test_weights.py",
    "curves/test_noise.py",
    "refinement/rules/test_[!i]*",
    "refinement/inference/test_pooling.py",
    "refinement/inference/test_statistics.py",
    "refinement/test_convergence.py",
    "refinement/test_responses.py",
    "refinement/test_temperature.py",
    "refinement/test_wrong_weights.py",
    "results/test_derived.py",
    "report/test_browser.py",
    "report/test_determined.py",
    "export/test_lammps.py",
    "study/test_study_mace.py",
    "tasks/test_[!r]*",
    "tasks/test_run*",
    "test_compiled.py",
    "test_conventions.py",
    "test_dispersion.py",
    "test_jax_version.py",
    "test_notebooks.py",
    "test_recipes.py",
)
"""Files that `make quick` leaves out: of what compiles much, runs dynamics or fits. A new file is in."""


def pytest_configure(config: pytest.Config) -> None:
    """What tests compile alike, in one process or another, in this session or the next, is compiled once.

    `pytest --cache-clear` empties it. jax finds a program by its text, its options and the compiler's version.

    Of several processes each has one thread for its matrices: threads of two processes wait for each other, busily.
    """
    if getattr(config.option, "numprocesses", None):  # they are started after this, with this environment
        os.environ.setdefault(VARIABLE, "1")
    if not hasattr(config, "cache"):  # -p no:cacheprovider
        return
    folder = config.cache.mkdir("compiled") / processor()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
    # XLA takes two tuning hints of its own for features that the processor lacks, and says so of every program.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not hasattr(config, "workerinput") and folder.exists():
        for entry in folder.iterdir():
            with suppress(FileNotFoundError):  # another session was quicker
                if time.time() - entry.stat().st_mtime > UNUSED:
                    entry.unlink()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the files that take longer (LONGER)")
    parser.addoption(
        "--half-of", metavar="COMMIT", help="of files with slow tests, every other one; which, a commit says"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --quick, leave out files that take longer; with --half-of, the slow tests of half of the files."""
    if config.getoption("--quick"):
        tests = Path(__file__).parent
        longer = [item for item in items if any(item.path.match(str(tests / pattern)) for pattern in LONGER)]
        config.hook.pytest_deselected(items=longer)
        items[:] = [item for item in items if item not in set(longer)]
    commit = config.getoption("--half-of")
    if commit is None:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    left_out = set(sorted({item.path for item in slow})[int(commit, 16) % 2 :: 2])
    config.hook.pytest_deselected(items=[item for item in slow if item.path in left_out])
    items[:] = [item for item in items if item not in slow or item.path not in left_out]


@dataclass(frozen=True)
class PairModel:
    """The simplest force field: truncated, unshifted Lennard-Jones between all atoms, straight from kernels.pair."""

    n_per_species: tuple[int, ...]
    orthorhombic: bool
    cutoff: float
    inner_cutoff: float | None = None
    periodic_images: bool = False
    cost: float = 1.0

    def params(self, epsilon: float = 0.010324, sigma: float = 3.405, dtype: str = "float32") -> Any:
        """Its table (eV, Å), the same for every pair of species; epsilon = 0 is an ideal gas."""
        from kernels.pair import pair_table, table_radii

        inner = 0.5 * sigma
        r = table_radii(inner, self.cutoff, 4096)
        s6 = (sigma / r) ** 6
        species = len(self.n_per_species)
        rows = np.ones((species * (species + 1) // 2, 1))
        energy, slope = 4 * epsilon * (s6**2 - s6), -24 * epsilon * (2 * s6**2 - s6) / r
        return pair_table(rows * energy, rows * slope, inner, self.cutoff, dtype=dtype)

    def forces(self, params: Any, positions: Any, neighbors: Any, cell: Any) -> Any:
        from kernels.pair import pair_forces

        return pair_forces(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)

    def observables(self, params: Any, positions: Any, neighbors: Any, cell: Any) -> Any:
        from kernels.pair import pair_observables

        return pair_observables(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)

    def virial_tensor(self, params: Any, positions: Any, neighbors: Any, cell: Any) -> Any:
        from kernels.pair import pair_virial_tensor

        return pair_virial_tensor(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)


@pytest.fixture(scope="session")
def pair_model() -> Callable[..., PairModel]:
    """pair_model(system, cutoff) -> PairModel."""
    return lambda system, cutoff: PairModel(system.n_per_species, system.orthorhombic, cutoff)


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Programs without most of XLA's optimisation: half of the time where compiling is most of it.

    For modules that test how parts work together. What the optimised programs compute is tested where those parts are:
    kernels, tests/potentials/mace/test_model.py and test_parity.py, and everything that is statistical.
    """
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
