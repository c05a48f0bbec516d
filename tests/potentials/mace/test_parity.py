"""MACE here against mace-torch: energies of atoms and boxes, forces, stress.

Each NAME.model of a folder is read and evaluated in the boxes of NAME.npz; both were written by a torch interpreter
(tests/torch/reference.py). The folder is tests/goldens/mace, or the one that REFINE_PARITY names: `make parity`
writes one with every combination of options and the published architectures, and runs this file over it.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ase.data import chemical_symbols
from numpy.typing import NDArray

from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.model import Mace
from refine.potentials.mace.reader import read_torch

GOLDENS = Path(__file__).parents[2] / "goldens" / "mace"
FOLDER = Path(os.environ.get("REFINE_PARITY", GOLDENS))
FILES = sorted(FOLDER.glob("*.npz"))
QUANTITIES = ("energy", "energies", "forces", "stress")

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Graph:
    """Several boxes as one, for a single evaluation: atoms of all of them sorted by species, neighbours dense.

    order: place of each sorted atom in the boxes put behind one another.
    box: (N,) number of the box of each sorted atom.
    vectors: (N, K, 3) Å; senders: (N, K).
    """

    species: tuple[str, ...]
    n_per_species: tuple[int, ...]
    order: NDArray[np.int64]
    box: NDArray[np.int64]
    vectors: NDArray[np.float64]
    senders: NDArray[np.int32]
    volumes: NDArray[np.float64]


def neighbors(positions: NDArray, cell: NDArray, cutoff: float) -> list[tuple[NDArray, NDArray]]:
    """For each atom the vectors from its neighbours to it, (k, 3), and their numbers, (k,): all images, no tricks."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [range(-m, m + 1) for m in np.ceil(cutoff / heights).astype(int) + 1]
    images = np.array(list(itertools.product(*reach))) @ cell
    found = []
    for i, position in enumerate(positions):
        vectors = position - positions[:, None] - images
        length = np.linalg.norm(vectors, axis=-1)
        length[i, len(images) // 2] = np.inf
        sender, image = np.nonzero(length < cutoff)
        found.append((vectors[sender, image], sender))
    return found


def graph_of(boxes: list[Arrays], cutoff: float) -> Graph:
    """Boxes with positions, cell and numbers as one graph; places that are not used hold a vector of 2 cutoffs."""
    numbers = np.concatenate([box["numbers"] for box in boxes])
    starts = np.cumsum([0, *(len(box["numbers"]) for box in boxes)])
    order = np.argsort(numbers, kind="stable")
    place = np.argsort(order)
    lists = [
        (vectors, senders + start)
        for start, box in zip(starts[:-1], boxes, strict=True)
        for vectors, senders in neighbors(box["positions"], box["cell"], cutoff)
    ]
    width = max(len(senders) for _, senders in lists)
    vectors = np.zeros((len(numbers), width, 3))
    vectors[..., 0] = 2 * cutoff
    senders = np.zeros((len(numbers), width), np.int32)
    for i, (apart, sender) in enumerate(lists[k] for k in order):
        vectors[i, : len(sender)] = apart
        senders[i, : len(sender)] = place[sender]
    present, counts = np.unique(numbers, return_counts=True)
    return Graph(
        species=tuple(chemical_symbols[z] for z in present),
        n_per_species=tuple(int(count) for count in counts),
        order=order,
        box=np.repeat(np.arange(len(boxes)), np.diff(starts))[order],
        vectors=vectors,
        senders=senders,
        volumes=np.array([abs(np.linalg.det(box["cell"])) for box in boxes]),
    )


def evaluate(run: Callable[..., Any], model: Mace, graph: Graph) -> list[Arrays]:
    """energy (), energies (N,), forces (N, 3) and stress (3, 3) of each box, atoms in the box's order."""
    with jax.enable_x64(model.precision == "float64"):
        sites, gradient = run(model.params, graph.vectors.astype(model.precision), graph.senders)
    gradient = np.asarray(gradient, np.float64)
    energies = np.asarray(sites, np.float64) + np.repeat(model.isolated, graph.n_per_species)
    forces = -gradient.sum(1)
    np.add.at(forces, graph.senders.ravel(), gradient.reshape(-1, 3))
    virials = np.einsum("nki,nkj->nij", gradient, graph.vectors)
    back = np.argsort(graph.order)
    results = []
    for box, volume in enumerate(graph.volumes):
        members = back[np.isin(back, np.flatnonzero(graph.box == box))]
        strain = virials[members].sum(0)
        results.append(
            {
                "energy": energies[members].sum(),
                "energies": energies[members],
                "forces": forces[members],
                "stress": (strain + strain.T) / 2 / volume,
            }
        )
    return results


@dataclass(frozen=True)
class Truth:
    """A checkpoint, what its boxes have besides atoms, the boxes, and what mace-torch computed.

    found[precision][head][box][quantity].
    """

    checkpoint: Checkpoint
    box_inputs: dict[str, int]
    boxes: list[Arrays]
    found: dict[str, list[list[Arrays]]]


def truth(file: Path) -> Truth:
    checkpoint = read_torch(file.with_suffix(".model"))
    with np.load(file) as arrays:
        names = arrays["boxes"].tolist()
        heads = range(len(arrays["heads"]))
        found = {
            precision: [
                [{key: arrays[f"{prefix}{box}.{key}"][head] for key in QUANTITIES} for box in names] for head in heads
            ]
            for precision, prefix in [("float64", ""), ("float32", "float32.")]
        }
        boxes = [{key: arrays[f"{box}.{key}"] for key in ("positions", "cell", "numbers")} for box in names]
        assert checkpoint.architecture.heads == tuple(arrays["heads"].tolist())
        case = json.loads(str(arrays["case"]))
        box_inputs = {key: case[key] for key in ("charge", "spin") if key in case}
    return Truth(checkpoint, box_inputs, boxes, found)


def compare(file: Path, precision: str, plain: bool) -> dict[str, float]:
    """Largest deviation from mace-torch in float64 of each quantity, as a part of its largest number in the box.

    One compiled program serves all heads: a head is nothing but parameters.
    """
    case = truth(file)
    graph = graph_of(case.boxes, case.checkpoint.architecture.r_max)
    worst = dict.fromkeys(QUANTITIES, 0.0)
    heads = case.checkpoint.architecture.heads
    options: dict[str, Any] = {"precision": precision, "plain": plain, **case.box_inputs}
    models = [Mace(case.checkpoint, graph.species, graph.n_per_species, head=head, **options) for head in heads]
    run = jax.jit(models[0].energies_and_gradients)
    for model, expected in zip(models, case.found["float64"], strict=True):
        for ours, theirs in zip(evaluate(run, model, graph), expected, strict=True):
            for key in QUANTITIES:
                assert ours[key].shape == theirs[key].shape
                worst[key] = max(
                    worst[key], float(np.max(np.abs(ours[key] - theirs[key])) / np.max(np.abs(theirs[key])))
                )
    return worst


@pytest.fixture(autouse=True)
def forget_programs() -> Iterator[None]:
    """Each test compiles a program of its own; all of them together are a gigabyte."""
    yield
    jax.clear_caches()


def assert_near(worst: dict[str, float], energy: float, force: float) -> None:
    limits = {"energy": energy, "energies": energy, "forces": force, "stress": force}
    print(worst)
    assert all(worst[key] < limits[key] for key in QUANTITIES), worst


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_float64(file: Path) -> None:
    assert_near(compare(file, "float64", plain=False), 1e-12, 1e-11)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_float32(file: Path) -> None:
    assert_near(compare(file, "float32", plain=False), 1e-5, 1e-5)


@pytest.mark.parametrize("name", ["density-residual", "plain-both"])
def test_plain_formulas(name: str) -> None:
    """Of two models; that the fast kernels are the plain formulas is what test_model.py shows."""
    file = GOLDENS / f"{name}.npz"
    assert_near(compare(file, "float64", plain=True), 1e-12, 1e-11)


def test_there_is_something_to_compare() -> None:
    assert FILES
