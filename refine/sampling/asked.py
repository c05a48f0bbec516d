"""What a command line says of a trajectory: the elements of its labels, and a cell."""

from __future__ import annotations

import numpy as np

from refine.errors import InputError
from refine.formula import SITE, element_of

MOST_LABELS = 1000


def labels_of(text: str) -> dict[str, str]:
    """The element of each label, or the site of one, in LABEL=ELEMENT,LABEL=ELEMENT.

    Raises:
        InputError: not of this form, a label twice, or no element.

    >>> labels_of("OW=O, HM=H:methyl")
    {'OW': 'O', 'HM': 'H:methyl'}
    """
    from ase.data import atomic_numbers

    found: dict[str, str] = {}
    for entry in text.split(",", MOST_LABELS):
        label, equals, element = (part.strip() for part in entry.rpartition("="))
        if not (equals and label and element):
            raise InputError(f"{entry[:40]!r} is not LABEL=ELEMENT", where="--elements", fix="write it as OW=O,HW=H")
        element = "H" if element == "D" else element  # a study says for each data set which isotope it is
        if not atomic_numbers.get(element_of(element), 0) or (":" in element and not SITE.fullmatch(element)):
            raise InputError(f"unknown element {element[:40]!r}", where="--elements", fix="write it as OW=O,HW=H")
        if found.setdefault(label, element) != element:
            raise InputError(f"{label[:40]!r} is named twice", where="--elements")
    return found


def cell_of(text: str) -> np.ndarray:
    """Vectors (3, 3) in Å of A (a cube), A,B,C (all angles 90°), A,B,C,ALPHA,BETA,GAMMA (degrees), or three vectors.

    Raises:
        InputError: not so many numbers, or they make no cell.

    >>> cell_of("12.5,10,8").diagonal().tolist()
    [12.5, 10.0, 8.0]
    """
    from ase.geometry import cellpar_to_cell

    fix = "write it as 12.4, or 12.4,12.4,15.1, or with three angles, or as nine numbers"
    try:
        numbers = [float(word) for word in text.split(",", 9)]
    except ValueError:
        raise InputError(f"{text[:60]!r} is not a list of numbers", where="--cell", fix=fix) from None
    if len(numbers) not in (1, 3, 6, 9):
        raise InputError(f"{len(numbers)} numbers are no cell", where="--cell", fix=fix)
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    try:
        if len(numbers) == 9:
            cell = np.array(numbers).reshape(3, 3)
        else:
            cell = np.diag(numbers) if len(numbers) == 3 else cellpar_to_cell(numbers)
        good = bool(np.isfinite(cell).all() and abs(np.linalg.det(cell)) > 1.0)
        good = good and (len(numbers) != 6 or max(numbers[3:]) < 180.0)  # of 200 degrees ASE makes 160
    except (AssertionError, ArithmeticError):  # angles that no three vectors have
        good = False
    if not good or (len(numbers) < 9 and min(numbers) <= 0):
        raise InputError(f"{text[:60]!r} is no cell", where="--cell", fix=fix)
    return cell
