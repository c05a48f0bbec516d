"""Binary trajectories that are not read, by their first bytes, and how to make of each one that is."""

from __future__ import annotations

from refine.errors import InputError

CONVERT = "gmx trjconv -f {file} -s run.tpr -o frames.gro -ndec 5"
NETCDF = "cpptraj -p topology -y {file} -x frames.dcd, or MDAnalysis"

KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"\x00\x00\x07\xcb", "an XTC file of GROMACS", CONVERT),
    (b"\x00\x00\x07\xe7", "an XTC file of GROMACS", CONVERT),
    (b"\x00\x00\x07\xc9", "a TRR file of GROMACS", CONVERT),
    (b"CDF\x01", "a NetCDF trajectory", NETCDF),
    (b"CDF\x02", "a NetCDF trajectory", NETCDF),
    (b"CDF\x05", "a NetCDF trajectory", NETCDF),
    (b"\x89HDF\r\n", "an HDF5 file", "write extended XYZ, a text dump or DCD"),
)
"""Beginning, in words, and what to do."""


def refuse_binary(head: bytes, file: str) -> None:
    """InputError for one of them; head: the first bytes of the file."""
    for begin, words, fix in KNOWN:
        if head.startswith(begin):
            raise InputError(f"{words}, which is not read", where=file, fix=fix.format(file=file))
