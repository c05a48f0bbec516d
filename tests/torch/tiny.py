"""Write tests/goldens/mace/tiny.model, a complete model of mace-torch in 120 kB for the tests of the reader.

    TORCH_PYTHON tests/torch/tiny.py tests/goldens/mace/tiny.model

Two layers, two heads, three elements, four channels, density blocks, Agnesi, ZBL; weights are random. Most of a small
file is debugging information of the code that e3nn compiles and stores with each module; it is left out, which torch
permits: `torch.load` gives a model that runs.
"""

from __future__ import annotations

import io
import sys
import zipfile

import numpy as np
import torch
from mace import modules  # isort: split

from e3nn import o3  # cannot be imported before mace with torch >= 2.6

_save = torch.jit.save


def _save_without_debugging(module: torch.jit.ScriptModule, buffer: io.BytesIO) -> None:
    full = io.BytesIO()
    _save(module, full)
    with zipfile.ZipFile(full) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name in old.namelist():
            if not name.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED, 9)


def main(path: str) -> None:
    torch.jit.save = _save_without_debugging
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    blocks = modules.interaction_classes
    model = modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=1,
        interaction_cls=blocks["RealAgnosticDensityResidualInteractionBlock"],
        interaction_cls_first=blocks["RealAgnosticDensityInteractionBlock"],
        num_interactions=2,
        num_elements=3,
        hidden_irreps=o3.Irreps("4x0e+4x1o"),
        MLP_irreps=o3.Irreps("4x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=rng.normal(size=(2, 3)) - 5,
        atomic_numbers=[1, 8, 26],
        heads=["a", "b"],
        avg_num_neighbors=9.5,
        correlation=2,
        radial_MLP=[4, 4],
        pair_repulsion=True,
        distance_transform="Agnesi",
        atomic_inter_scale=[0.8, 0.9],
        atomic_inter_shift=[0.0, 0.1],
    )
    torch.save(model, path)
    assert isinstance(torch.load(path, weights_only=False), modules.ScaleShiftMACE)


if __name__ == "__main__":
    main(*sys.argv[1:])
