"""Write models and what mace-torch computes with them.

    python reference.py CASES FOLDER [--check]

CASES: names of models.CASES or models.ARCHITECTURES with commas between, or one of the words cases, architectures,
all, goldens. For each, FOLDER gets

    NAME.model  the module, by torch.save
    NAME.npz    case (JSON: options, versions), heads (H,), boxes (B,), and for each box
                BOX.positions (N, 3) Å, BOX.cell (3, 3) Å, BOX.numbers (N,), and in float64, with an axis of heads
                BOX.energy (H,) eV, BOX.energies (H, N) eV, BOX.forces (H, N, 3) eV/Å, BOX.stress (H, 3, 3) eV/Å^3,
                the derivative of the energy by a symmetric strain over the volume; and the same as float32.BOX.energy
                ... by mace-torch in float32.

Float64 of a file of float32 means the file's numbers in exact arithmetic. `Module.double()` alone leaves e3nn's Wigner
3j symbols rounded to float32 (3e-9 of the forces), so they are made anew; and with torch's default precision left at
float32, mace-torch rounds ZBL's charges (4e-9), so that is float64, too.
--check: every block of weights that takes part at all must move the atoms' energies by THRESHOLD when it is zeroed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import models
import numpy as np
import torch
from e3nn import __version__ as e3nn_version
from e3nn import nn, o3
from mace import __version__ as mace_version

THRESHOLD = 1e-3  # eV
EVERYTHING = models.CASES | models.ARCHITECTURES
Box = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="refuse models with parts that do not show")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="models made at a time")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    names = chosen(options.cases)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn"), _one_thread) as pool:
        for report in pool.map(partial(make, folder=options.folder, faint=options.check), names):
            print(report, flush=True)


def make(name: str, folder: Path, faint: bool) -> str:
    """Write what belongs to a name, look for faint parts if asked to, and say what was done."""
    begin = time.perf_counter()
    case = EVERYTHING[name]
    boxes = models.boxes() if name in models.CASES else {"oxide": models.oxide(20)}
    write(name, case, boxes, folder)
    found = check(name, models.build(name, case), case, boxes) if faint else ""
    return f"{name:24s} {time.perf_counter() - begin:6.1f} s{found}"


def _one_thread() -> None:
    torch.set_num_threads(1)


def chosen(words: str) -> list[str]:
    """Names from names and words for groups of them, the slowest first."""
    groups = {
        "cases": models.CASES,
        "architectures": models.ARCHITECTURES,
        "all": EVERYTHING,
        "goldens": models.GOLDENS,
    }
    names = [name for word in words.split(",") for name in groups.get(word, [word])]
    unknown = set(names) - set(EVERYTHING)
    if unknown:
        raise SystemExit(f"no model is called {', '.join(sorted(unknown))}; there are {', '.join(EVERYTHING)}")
    return sorted(dict.fromkeys(names), key=lambda name: -EVERYTHING[name].channels)


def write(name: str, case: models.Case, boxes: dict[str, Box], folder: Path) -> None:
    """NAME.model and NAME.npz. The model is evaluated as it comes back from the file."""
    torch.save(models.build(name, case), folder / f"{name}.model")
    versions = {"mace-torch": mace_version, "torch": torch.__version__, "e3nn": e3nn_version}
    record = {"name": name, "options": case.options(), "versions": versions}
    record |= {"charge": models.CHARGE, "spin": models.SPIN} if case.inputs else {}
    arrays = {"case": np.array(json.dumps(record)), "heads": np.array(case.heads), "boxes": np.array(list(boxes))}
    exact, single = (load(folder / f"{name}.model", dtype) for dtype in (torch.float64, torch.float32))
    for box_name, box in boxes.items():
        arrays |= {f"{box_name}.{key}": value for key, value in box.items()}
        for prefix, model, dtype in [("", exact, torch.float64), ("float32.", single, torch.float32)]:
            found = [evaluate(model, box, head, dtype) for head in range(len(case.heads))]
            arrays |= {f"{prefix}{box_name}.{key}": np.stack([one[key] for one in found]) for key in found[0]}
    np.savez_compressed(folder / f"{name}.npz", **arrays)


def load(path: Path, dtype: torch.dtype) -> torch.nn.Module:
    """The model of a file in a precision."""
    torch.set_default_dtype(dtype)
    model = torch.load(path, weights_only=False).to(dtype)
    for name, buffer in model.named_buffers():
        symbol = re.search(r"_w3j_(\d)_(\d)_(\d)$", name)
        if symbol:
            buffer.copy_(o3.wigner_3j(*map(int, symbol.groups()), dtype=dtype))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def evaluate(model: torch.nn.Module, box: Box, head: int, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """energy (), energies (N,), forces (N, 3) and stress (3, 3) of a box."""
    torch.set_default_dtype(dtype)  # constants inside the model, and the mask of heads, take this one
    out = model(models.graph(model, box, head, dtype), compute_stress=True)
    found = {
        "energy": out["energy"][0],
        "energies": out["node_energy"],
        "forces": out["forces"],
        "stress": out["stress"][0],
    }
    return {key: value.detach().cpu().numpy() for key, value in found.items()}


def check(name: str, model: torch.nn.Module, case: models.Case, boxes: dict[str, Box]) -> str:
    """Which block of weights moves the atoms' energies least; ValueError where that is less than THRESHOLD."""
    model = model.double()
    torch.set_default_dtype(torch.float64)
    box = next(iter(boxes.values()))
    heads = [models.graph(model, box, head, torch.float64) for head in range(len(case.heads))]

    def energies() -> torch.Tensor:
        return torch.cat([model(data, compute_force=False)["node_energy"] for data in heads])

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    whole = energies()
    gradients = torch.autograd.grad(whole.sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    blocks = dict(_blocks(model))
    idle = {key for key, gradient in _blocks(model, gradients=True) if not gradient.any()}
    if case.zbl:
        blocks["ZBL"] = model.pair_repulsion_fn.c
    moved = {}
    with torch.no_grad():
        for key in sorted(blocks.keys() - idle):
            before = blocks[key].clone()
            blocks[key].zero_()
            moved[key] = (energies() - whole).abs().sum().item()
            blocks[key].copy_(before)
    least = min(moved, key=moved.__getitem__)
    if moved[least] < THRESHOLD:
        raise ValueError(f"{name}: {least} is too faint to be seen, {moved[least]:.1e} eV")
    return f", {len(moved)} blocks of weights, {moved[least]:.1e} eV from {least} or more; {len(idle)} take no part"


def _blocks(model: torch.nn.Module, gradients: bool = False) -> Iterator[tuple[str, torch.Tensor]]:
    """Views of the weights (or of their gradients), one for each path, degree or layer, by name."""

    def of(parameter: torch.Tensor) -> torch.Tensor:
        if not gradients:
            return parameter.data
        return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad

    for name, module in model.named_modules():
        if isinstance(module, o3.Linear | o3.TensorProduct):
            weight, begin = getattr(module, "weight", None), 0
            for k, instruction in enumerate(module.instructions):
                size = int(np.prod(instruction.path_shape))
                if weight is not None and weight.numel() == module.weight_numel and size > 0:
                    yield f"{name}[{k}]", of(weight)[begin : begin + size]
                begin += size
        elif isinstance(module, nn.FullyConnectedNet):
            layers = [layer for layer in module.children()]
            for k, layer in enumerate(layers[:-1]):
                yield f"{name}.{k}", of(layer.weight)
            parent = model.get_submodule(name.rpartition(".")[0])
            paths = len(parent.conv_tp.instructions) if name.endswith("conv_tp_weights") else 1
            weight = of(layers[-1].weight)
            for path in range(paths):
                yield f"{name}.last[{path}]", weight.reshape(len(weight), paths, -1)[:, path]
        elif hasattr(module, "weights_max"):
            yield f"{name}.weights_max", of(module.weights_max)
            for k, weight in enumerate(module.weights):
                yield f"{name}.weights[{k}]", of(weight)


if __name__ == "__main__":
    main()
