"""mace-torch's side of experiments/benchmarks/mace.py.

python timing.py build FOLDER NAME,NAME... ATOMS,ATOMS...    NAME.model and oxideATOMS.npz in the folder
python timing.py info DEVICE                                 JSON: versions, the device, whether cuEquivariance is there
python timing.py serve MODEL BOX DTYPE DEVICE [cueq]         see workers.py
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

import models
import numpy as np
import torch
import workers


def build(folder: str, names: str, atoms: str) -> None:
    for name in filter(None, names.split(",")):
        if name not in models.ARCHITECTURES:
            raise SystemExit(f"no architecture is called {name}; there are {', '.join(models.ARCHITECTURES)}")
        torch.save(models.build(name, models.ARCHITECTURES[name]), Path(folder) / f"{name}.model")
    for n in map(int, filter(None, atoms.split(","))):
        np.savez(Path(folder) / f"oxide{n}.npz", **models.oxide(n))


def info(device: str) -> None:
    """Versions of what is used, the threads or the name of the device, and whether cuEquivariance can be used."""
    packages = ("mace-torch", "torch", "cuequivariance-torch")
    found = {name: _version(name) for name in packages}
    cueq = device != "cpu" and importlib.util.find_spec("cuequivariance_torch") is not None
    where = f"cpu ({torch.get_num_threads()} threads)" if device == "cpu" else torch.cuda.get_device_name()
    print(json.dumps({"versions": {k: v for k, v in found.items() if v}, "device": where, "cueq": cueq}))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def serve(path: str, box: str, dtype_name: str, device: str, cueq: str = "") -> None:
    """Energy and forces with the edges of one neighbour search; weights have no gradient, as in MACECalculator."""
    dtype = getattr(torch, dtype_name)
    torch.set_default_dtype(dtype)
    model = torch.load(path, weights_only=False, map_location=device).to(dtype)
    if cueq:
        from mace.cli.convert_e3nn_cueq import run

        model = run(model, device=device).to(device)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with np.load(box) as arrays:
        data = models.graph(model, dict(arrays), 0, dtype)
    found: dict[str, torch.Tensor] = {}

    def forces() -> None:
        found.update(model(dict(data), compute_stress=False))
        if device != "cpu":
            torch.cuda.synchronize()

    def save(target: Path) -> None:
        np.savez(target, **{key: found[key].detach().cpu().numpy() for key in ("energy", "forces")})

    def memory() -> dict[str, float]:
        return {"later": torch.cuda.max_memory_allocated() / 2**20}

    workers.serve({"forces": forces}, save, None if device == "cpu" else memory)


if __name__ == "__main__":
    {"build": build, "info": info, "serve": serve}[sys.argv[1]](*sys.argv[2:])
