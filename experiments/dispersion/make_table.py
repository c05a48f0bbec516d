"""Make refine/potentials/d3.safetensors from the parameters that torch-dftd ships.

    python experiments/dispersion/make_table.py PATH/TO/torch_dftd/nn/params/dftd3_params.npz

torch-dftd (MIT licence, version 0.5.3) holds, for elements a and b and reference compounds i and j of each, C6 and the
two coordination numbers: c6ab (95, 95, 5, 5, 3). The coordination numbers of an element's references are the same
whatever its partner, and C6 is symmetric; so there are 254 references in all, and one triangle of C6 between them. The
script checks both and refuses otherwise. All numbers stay in atomic units.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

OUTPUT = Path(__file__).parents[2] / "refine" / "potentials" / "d3.safetensors"
ABOUT = {
    "content": "D3 reference C6 (hartree bohr^6, upper triangle by rows), coordination numbers and atomic numbers of "
    "the references; covalent radii (bohr, times 4/3) and r2r4 (bohr) by atomic number, entry 0 unused",
    "source": "S. Grimme, J. Antony, S. Ehrlich, H. Krieg, J. Chem. Phys. 132, 154104 (2010); "
    "S. Grimme, S. Ehrlich, L. Goerigk, J. Comput. Chem. 32, 1456 (2011)",
    "taken from": "torch-dftd 0.5.3 (MIT licence, Preferred Networks), dftd3_params.npz",
    "made by": "experiments/dispersion/make_table.py",
}


def main(path: str) -> None:
    given = np.load(path, allow_pickle=False)
    c6, cn = given["c6ab"][..., 0], given["c6ab"][..., 1]
    known = [(z, a) for z in range(1, 95) for a in range(5) if c6[z, z, a, a] > 0]
    z, a = np.array(known).T
    between = c6[z[:, None], z, a[:, None], a]
    numbers = cn[z, z, a, a]
    seen = cn[z[:, None], z, a[:, None], a]
    if not ((between > 0).all() and np.count_nonzero(c6 > 0) == between.size):
        raise SystemExit("a reference has no C6 with some other one")
    if not (np.array_equal(between, between.T) and np.array_equal(seen, np.broadcast_to(numbers[:, None], seen.shape))):
        raise SystemExit("C6 is not symmetric, or a coordination number depends on the partner")
    arrays = {
        "c6": between[np.triu_indices(len(z))],
        "coordination": numbers,
        "element": z.astype(np.int32),
        "radius": given["rcov"].astype(np.float64),
        "r2r4": given["r2r4"].astype(np.float64),
    }
    save_file(arrays, OUTPUT, ABOUT)
    print(f"{OUTPUT}: {len(z)} references of {len(set(z.tolist()))} elements, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
