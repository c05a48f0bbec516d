"""Whether a packing at a low temperature is meant: a liquid needs no schedule, a glass needs one."""

from __future__ import annotations

from collections.abc import Iterable

from refine.errors import InputError
from refine.formula import element_of
from refine.study.schema import StudyConfig

MELTING = {
    **{"Li": 454, "Be": 1560, "B": 2349, "Na": 371, "Mg": 923, "Al": 934, "Si": 1687, "P": 317, "S": 388},
    **{"K": 337, "Ca": 1115, "Sc": 1814, "Ti": 1941, "V": 2183, "Cr": 2180, "Mn": 1519, "Fe": 1811, "Co": 1768},
    **{"Ni": 1728, "Cu": 1358, "Zn": 693, "Ga": 303, "Ge": 1211, "As": 1090, "Se": 494, "Rb": 312, "Sr": 1050},
    **{"Y": 1795, "Zr": 2127, "Nb": 2750, "Mo": 2895, "Tc": 2430, "Ru": 2606, "Rh": 2236, "Pd": 1828, "Ag": 1235},
    **{"Cd": 594, "In": 430, "Sn": 505, "Sb": 904, "Te": 723, "Cs": 302, "Ba": 1000, "La": 1193, "Ce": 1072},
    **{"Pr": 1204, "Nd": 1289, "Pm": 1315, "Sm": 1345, "Eu": 1095, "Gd": 1586, "Tb": 1632, "Dy": 1685, "Ho": 1745},
    **{"Er": 1802, "Tm": 1818, "Yb": 1097, "Lu": 1936, "Hf": 2506, "Ta": 3290, "W": 3687, "Re": 3459, "Os": 3306},
    **{"Ir": 2719, "Pt": 2041, "Au": 1337, "Hg": 234, "Tl": 577, "Pb": 601, "Bi": 545, "Th": 2023, "U": 1408},
}
"""K, of elements that bind in three dimensions (CRC Handbook of Chemistry and Physics, 97th ed., section 4)."""

MOLECULAR = frozenset(("H", "C"))
"""Where these are, there may be molecules, which melt far below their elements."""

FAR = 0.3
"""Of the highest melting temperature of an element: melts are rarely as cold (B2O3 at its own has 0.31), silica or
germania glass at room temperature has 0.18 and 0.25."""


def melting(species: Iterable[str]) -> float | None:
    """K: the highest melting temperature of the elements, a rough guide to that of what they form; None: it is none.

    >>> melting(("Si", "O")), melting(("Ar",)), melting(("C", "H", "O"))
    (1687, None, None)
    """
    elements = {element_of(name) for name in species}
    known = [MELTING[element] for element in elements if element in MELTING]
    return max(known) if known and not elements & MOLECULAR else None


def ask_of_cold_packings(config: StudyConfig) -> None:
    """InputError for a state far below melting that is packed at random, without a word of what that is to be.

    The default start is a melt at twice the state's temperature, which at such temperatures is a random packing that
    was relaxed, and no structure of anything.
    """
    if config.system.counts is None or config.schedule:
        return
    hot = melting(config.system.counts)
    for state in config.states:
        if config.structure_of(state) is not None or "phase" in state.model_fields_set:
            continue
        if hot is not None and state.temperature < FAR * hot:
            raise InputError(
                f"state '{state.name}' is packed at random at {state.temperature:g} K, and what is made of "
                f"{', '.join(config.system.counts)} may melt near {hot:g} K: is it a glass, or a crystal?",
                where="[[states]]",
                fix="melt and cool it with [[schedule]], or start from a structure; "
                'phase = "liquid" or "solid" if the packing is meant',
            )
