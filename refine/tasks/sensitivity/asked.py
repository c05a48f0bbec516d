"""What is differentiated by what, as written on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from refine.errors import InputError


@dataclass(frozen=True)
class Quantity:
    """What is differentiated.

    Attributes:
        data: name of the data set.
        kind: "point", "height" or "position" (of the highest maximum in a range), or "R_chi".
        curve: the data set's own quantity, or "T(r)"; "" for R_chi.
        x: of a point, 1/Å or Å.
        limits: of the range of a peak.
    """

    data: str
    kind: str
    curve: str = ""
    x: float | None = None
    limits: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.kind == "R_chi":
            return f"{self.data}:R_chi"
        if self.limits is None:
            return f"{self.data}:{self.curve}@{self.x:g}"
        return f"{self.data}:{self.curve}:{self.kind}@{self.limits[0]:g}..{self.limits[1]:g}"


@dataclass(frozen=True)
class Parameter:
    """What it is differentiated by.

    Attributes:
        name: "phi" for a coefficient of the correction (phi_0 where it depends on temperature), or a parameter of the
            base, such as "sigma".
        pair, r: of a coefficient: the species pair and a distance, Å; the spline centred nearest to it is meant.
        key: species or pair, for a parameter of the base that is given as a table.
    """

    name: str
    pair: tuple[str, str] | None = None
    r: float | None = None
    key: str | None = None

    def __str__(self) -> str:
        if self.pair is not None:
            return f"{'-'.join(self.pair)}@{self.r:g}"
        return self.name if self.key is None else f"{self.name}:{self.key}"


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_QUANTITY = re.compile(
    rf"(?P<data>.+):(?:(?P<chi>R_chi)|(?P<curve>[^:@]+)(?::(?P<kind>height|position)@(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})"
    rf"|@(?P<x>{_NUMBER})))"
)
_COEFFICIENT = re.compile(rf"(?P<a>[A-Z][a-z]?)-(?P<b>[A-Z][a-z]?)@(?P<r>{_NUMBER})")
_BASE = re.compile(r"(?P<name>[A-Za-z_]\w*)(?::(?P<key>[A-Z][a-z]?(?:-[A-Z][a-z]?)?))?")


def parse_quantity(text: str) -> Quantity:
    """From the command line; InputError for what names no quantity.

    >>> parse_quantity("argon:S(Q)@2.0")
    Quantity(data='argon', kind='point', curve='S(Q)', x=2.0, limits=None)
    >>> parse_quantity("argon:S(Q):height@1.5..2.5")
    Quantity(data='argon', kind='height', curve='S(Q)', x=None, limits=(1.5, 2.5))
    >>> parse_quantity("argon:R_chi")
    Quantity(data='argon', kind='R_chi', curve='', x=None, limits=None)
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match["curve"] in ("height", "position"):
        raise InputError(
            f"'{text}' names no quantity",
            fix='write it like "argon:S(Q)@2.0", "argon:S(Q):height@1.5..2.5", "argon:R_chi"',
        )
    if match["chi"]:
        return Quantity(match["data"], "R_chi")
    if match["kind"]:
        low, high = float(match["low"]), float(match["high"])
        if low >= high:
            raise InputError(f"the range {low:g}..{high:g} in '{text}' is empty", fix="give the smaller number first")
        return Quantity(match["data"], match["kind"], match["curve"].strip(), limits=(low, high))
    return Quantity(match["data"], "point", match["curve"].strip(), x=float(match["x"]))


def parse_parameter(text: str) -> Parameter:
    """From the command line: a coefficient of a pair near a distance, or a parameter of the base.

    >>> parse_parameter("Ar-Ar@3.8")
    Parameter(name='phi', pair=('Ar', 'Ar'), r=3.8, key=None)
    >>> parse_parameter("sigma:Ar")
    Parameter(name='sigma', pair=None, r=None, key='Ar')

    Raises InputError for what names no parameter.
    """
    coefficient = _COEFFICIENT.fullmatch(text.strip())
    if coefficient is not None:
        return Parameter("phi", (coefficient["a"], coefficient["b"]), float(coefficient["r"]))
    base = _BASE.fullmatch(text.strip())
    if base is None:
        raise InputError(f"'{text}' names no parameter", fix='write it like "Ar-Ar@3.8", "epsilon", "sigma:Ar"')
    return Parameter(base["name"], key=base["key"])
