"""Whether an architecture and arrays are a MACE model: all types, ranges, names and shapes.

The same for both kinds of files. What passes can be evaluated; the table of shapes is in
`refine.potentials.mace.architecture`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.mace.architecture import INPUTS, ZBL, Agnesi, Architecture, BoxInput, Layer

MAX_ELL = 11
"""Highest l of e3nn's spherical harmonics."""
MAX_LAYERS = 12
MAX_CORRELATION = 6
MAX_RADIAL_HIDDEN = 12
MAX_HEADS = 256
MAX_CHANNELS = 4096
MAX_ARRAY_BYTES = 2 * 2**30
"""Of all arrays; each lies in the file, but several can lie in one place of it."""


def check(
    architecture: Architecture, arrays: Mapping[str, NDArray[Any]], factors: Mapping[str, float], *, where: str
) -> None:
    """See that this is a model that can be evaluated.

    Raises:
        InputError: the first thing that does not fit.
    """
    _check_architecture(architecture, where)
    expected = dict.fromkeys(_shapes(architecture, {}))
    for name in sorted(expected.keys() ^ arrays.keys()):
        _require(name in arrays, where, f"the array {name!r} is missing")
        _require(name in expected, where, f"an array {_short(name)} that this architecture has no use for")
    for name, array in arrays.items():
        is_float = isinstance(array, np.ndarray) and array.dtype in (np.float32, np.float64)
        _require(is_float, where, f"the array {name!r} is not of float32 or float64")
    _require(sum(a.nbytes for a in arrays.values()) <= MAX_ARRAY_BYTES, where, "arrays of more than two gigabytes")
    for name, shape in _shapes(architecture, arrays).items():
        found = arrays[name].shape
        fits = len(found) == len(shape) and all(
            a == b or (b is None and a > 0) for a, b in zip(found, shape, strict=True)
        )
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        _require(fits, where, f"the array {name!r} has shape {found} instead of ({wanted})")
        _require(bool(np.isfinite(arrays[name]).all()), where, f"the array {name!r} has numbers that are not finite")
    for t, layer in enumerate(architecture.layers):
        # without neighbours alpha is all of it
        divides = layer.nonlinear and arrays[f"layers.{t}.normaliser"][0] == 0
        _require(not divides, where, f"layers.{t}.normaliser divides by zero")
    for name, factor in factors.items():
        _require(name in arrays, where, f"a factor for {_short(name)}, which is no array")
        _require(_is_number(factor), where, f"the factor of {name!r} is not a finite number")


def _shapes(architecture: Architecture, arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int | None, ...]]:
    """Shape of every array by its name; None where any length will do. What is free in one array is given by it in the
    others, so all lengths agree once each array has its shape."""

    def length(name: str, axis: int) -> int | None:
        array = arrays.get(name)
        return array.shape[axis] if array is not None and array.ndim > axis else None

    species, channels, heads = len(architecture.species), architecture.channels, len(architecture.heads)
    shapes: dict[str, tuple[int | None, ...]] = {
        "energies": (heads, species),
        "embedding": (species, channels),
        "bessel": (None,),
    }
    if architecture.agnesi is not None or architecture.zbl is not None:
        shapes["covalent_radii"] = (species,)
    if architecture.inputs:
        widths = [length(f"inputs.{k}", 1) for k in range(len(architecture.inputs))]
        shapes |= {f"inputs.{k}": (None, None) for k in range(len(widths))}
        shapes["project"] = (sum(width or 0 for width in widths), channels)
    for t, layer in enumerate(architecture.layers):
        at, edge = f"layers.{t}", layer.edge_channels or channels
        shapes |= {f"{at}.up.{l}": (channels, edge) for l in layer.l_in}
        network = partial(_network_shapes, length, at)
        message = {l: channels for l in layer.l_message}
        skip: tuple[int, ...] = (species, channels, channels)
        if layer.nonlinear:
            shapes |= network("radial", layer.radial_hidden, len(layer.paths), edge, extra=2 * channels)
            shapes |= network("density", layer.density_hidden, 1, extra=2 * channels)
            shapes |= {f"{at}.source": (species, channels), f"{at}.target": (species, channels)}
            shapes[f"{at}.normaliser"] = (2,)
            message[0] *= len(layer.l_message)
            skip = (channels, channels)
            shapes |= {f"{at}.gated.{l}": (channels, channels) for l in layer.l_message}
            shapes |= {f"{at}.residual.{l}": (edge, message[l]) for l in layer.l_in if l in message}
        else:
            shapes |= network("radial", layer.radial_hidden, len(layer.paths), edge)
            if layer.density:
                shapes[f"{at}.density"] = (length("bessel", 0), 1)
        shapes |= {f"{at}.message.{l}": (len(layer.paths_to(l)), edge, width) for l, width in message.items()}
        shapes |= {f"{at}.skip.{l}": skip for l in skipped(layer)}
        components = sum(2 * l + 1 for l in layer.l_message)
        rows = length(f"{at}.product.0.1", 0)  # one for all species, or one for each; the same in the whole layer
        for l in layer.l_out:
            for nu in range(1, layer.correlation + 1):
                basis, product = f"{at}.basis.{l}.{nu}", f"{at}.product.{l}.{nu}"
                shapes[basis] = (math.comb(components + nu - 1, nu), 2 * l + 1, None)
                shapes[product] = (1 if rows == 1 else species, length(basis, 2), channels)
            shapes[f"{at}.linear.{l}"] = (channels, channels)
        hidden = heads * layer.readout_hidden
        if layer.readout == "linear":
            shapes[f"{at}.readout.0"] = (channels, heads)
        elif layer.readout == "nonlinear":
            shapes |= {f"{at}.readout.0": (channels, hidden), f"{at}.readout.1": (hidden, heads)}
        elif layer.readout == "biased":
            shapes |= {f"{at}.readout.0": (channels, hidden), f"{at}.readout.1": (hidden, hidden)}
            shapes |= {f"{at}.readout.2": (hidden, heads)}
            shapes |= {f"{at}.readout_bias.1": (hidden,), f"{at}.readout_bias.2": (heads,)}
    return shapes


def _network_shapes(
    length: Callable[[str, int], int | None], at: str, name: str, hidden: int, *last: int, extra: int | None = None
) -> dict[str, tuple[int | None, ...]]:
    """Of a network of the Bessel functions: without biases, or with biases and of so many further numbers."""
    shapes: dict[str, tuple[int | None, ...]] = {}
    width = length("bessel", 0)
    if width is not None and extra is not None:
        width += extra
    for k in (*range(hidden), "last"):
        units: tuple[int | None, ...] = last if k == "last" else (length(f"{at}.{name}.{k}", 1),)
        shapes[f"{at}.{name}.{k}"] = (width, *units)
        if extra is not None:
            shapes[f"{at}.{name}_bias.{k}"] = units
            if k != "last":
                shapes[f"{at}.{name}_norm.{k}"] = (2, *units)
        width = units[0]
    return shapes


def skipped(layer: Layer) -> tuple[int, ...]:
    """The l of the arrays "skip" of a layer."""
    return tuple(l for l in layer.l_in if l in layer.l_out) if layer.residual else layer.l_message


def _check_architecture(architecture: Architecture, where: str) -> None:
    a = architecture

    def number(name: str, value: Any, low: float, high: float) -> None:
        _require(_is_number(value) and low <= value <= high, where, f"{name} is {_short(value)}")

    def integer(name: str, value: Any, low: int, high: int) -> None:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        _require(is_integer and low <= value <= high, where, f"{name} is {_short(value)}")

    def flag(name: str, value: Any) -> None:
        _require(isinstance(value, bool), where, f"{name} is {_short(value)}")

    number("r_max", a.r_max, 1e-3, 1e3)
    number("bessel_prefactor", a.bessel_prefactor, -1e6, 1e6)
    number("envelope_power", a.envelope_power, 1, 1000)
    flag("envelope_on_weights", a.envelope_on_weights)
    _require(a.dtype in ("float32", "float64"), where, f"dtype is {_short(a.dtype)}")
    integer("channels", a.channels, 1, MAX_CHANNELS)
    integer("max_ell", a.max_ell, 0, MAX_ELL)
    _require(isinstance(a.species, tuple) and 1 <= len(a.species) <= 118, where, "the species are no list of elements")
    for z in a.species:
        integer("an atomic number", z, 1, 118)
    _require(len(set(a.species)) == len(a.species), where, "an element is there twice")
    _require(isinstance(a.heads, tuple) and 1 <= len(a.heads) <= MAX_HEADS, where, "the heads are no list of names")
    for head in a.heads:
        is_name = isinstance(head, str) and 0 < len(head) <= 200 and head.isprintable()
        _require(is_name, where, f"{_short(head)} is no name of a head")
    _require(len(set(a.heads)) == len(a.heads), where, "a head is there twice")
    for name, values in (("scale", a.scale), ("shift", a.shift)):
        _require(isinstance(values, tuple) and len(values) == len(a.heads), where, f"{name} is not one for each head")
        for value in values:
            number(name, value, -1e12, 1e12)
    if a.agnesi is not None:
        _require(isinstance(a.agnesi, Agnesi), where, "agnesi is no transform")
        for name in ("a", "p", "q"):
            number(f"agnesi.{name}", getattr(a.agnesi, name), -1e3, 1e3)
    if a.zbl is not None:
        _require(isinstance(a.zbl, ZBL), where, "zbl is no repulsion")
        number("zbl.p", a.zbl.p, 1, 1000)
        number("zbl.a_exp", a.zbl.a_exp, -10, 10)
        number("zbl.a_prefactor", a.zbl.a_prefactor, 1e-6, 1e3)
        _require(isinstance(a.zbl.c, tuple) and len(a.zbl.c) == 4, where, "zbl.c is not four numbers")
        for value in a.zbl.c:
            number("zbl.c", value, -1e3, 1e3)
    _require(isinstance(a.inputs, tuple), where, "the inputs are no list")
    for entry in a.inputs:
        _require(isinstance(entry, BoxInput), where, "an input is none")
        _require(entry.name in INPUTS, where, f"an input is {_short(entry.name)}")
        integer("an offset of an input", entry.offset, 0, 10_000)
    _require(len({entry.name for entry in a.inputs}) == len(a.inputs), where, "an input is there twice")
    _require(isinstance(a.layers, tuple) and 1 <= len(a.layers) <= MAX_LAYERS, where, "no list of layers")
    incoming: tuple[int, ...] = (0,)
    for t, layer in enumerate(a.layers):
        _require(isinstance(layer, Layer), where, f"layer {t} is none")
        at = f"layers.{t}"
        flag(f"{at}.density", layer.density)
        flag(f"{at}.residual", layer.residual)
        integer(f"{at}.correlation", layer.correlation, 1, MAX_CORRELATION)
        integer(f"{at}.radial_hidden", layer.radial_hidden, 0, MAX_RADIAL_HIDDEN)
        readouts = ("linear", "nonlinear", "biased", "none")
        _require(layer.readout in readouts, where, f"{at}.readout is {_short(layer.readout)}")
        units = (1, 4096) if layer.readout in ("nonlinear", "biased") else (0, 0)
        integer(f"{at}.readout_hidden", layer.readout_hidden, *units)
        if layer.edge_channels is not None:
            integer(f"{at}.edge_channels", layer.edge_channels, 1, MAX_CHANNELS)
        flag(f"{at}.nonlinear", layer.nonlinear)
        integer(f"{at}.density_hidden", layer.density_hidden, *((1, MAX_RADIAL_HIDDEN) if layer.nonlinear else (0, 0)))
        number(f"{at}.norm_epsilon", layer.norm_epsilon, *((1e-30, 1.0) if layer.nonlinear else (0.0, 0.0)))
        if layer.nonlinear:
            _require(layer.density and layer.residual, where, f"{at} is non-linear without density or residual")
            _require(layer.radial_hidden > 0, where, f"{at} is non-linear without a hidden radial layer")
        for name in ("l_in", "l_message", "l_out"):
            ells = getattr(layer, name)
            _require(isinstance(ells, tuple) and len(ells) > 0, where, f"{at}.{name} is no list")
            for l in ells:
                integer(f"an l of {at}.{name}", l, 0, MAX_ELL)
            _require(list(ells) == sorted(set(ells)), where, f"{at}.{name} is not ascending")
        everything = tuple(range(a.max_ell + 1))
        _require(layer.l_message == everything, where, f"{at}.l_message is not every l up to {a.max_ell}")
        _require(layer.l_in == incoming, where, f"{at}.l_in is not what comes in")
        _require(layer.l_out[0] == 0, where, f"{at}.l_out has no scalars")
        incoming = layer.l_out
        _check_paths(layer, a.max_ell, at, where)
    _require(any(layer.readout != "none" for layer in a.layers), where, "no layer has a readout")


def _check_paths(layer: Layer, max_ell: int, at: str, where: str) -> None:
    paths, factors = layer.paths, layer.path_factors
    _require(isinstance(paths, tuple) and isinstance(factors, tuple), where, f"{at}.paths are no list")
    _require(len(paths) == len(factors) and len(paths) <= 10_000, where, f"{at}: not one factor for each path")
    for path in paths:
        is_path = isinstance(path, tuple) and len(path) == 3 and all(type(l) is int and 0 <= l <= MAX_ELL for l in path)
        _require(is_path, where, f"{at} has a path that is not (l1, l2, l3)")
        l1, l2, l3 = path
        allowed = l1 in layer.l_in and l2 <= max_ell and l3 in layer.l_message and abs(l1 - l2) <= l3 <= l1 + l2
        # Odd sums are forbidden by parity, and the sign of their Wigner 3j symbol is a matter of convention.
        _require(allowed and (l1 + l2 + l3) % 2 == 0, where, f"{at} has the path {path}, which does not exist")
    _require(len(set(paths)) == len(paths), where, f"{at} has a path twice")
    _require(all(_is_number(f) for f in factors), where, f"{at} has a path factor that is not finite")
    reached = {path[2] for path in paths}
    _require(reached == set(layer.l_message), where, f"{at} has messages that no path leads to")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _require(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise InputError(f"not a model that can be evaluated: {what}", where=where)


def _short(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
