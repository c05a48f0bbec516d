"""A `Curve` as text that says its whole convention and that `read_curve` reads back."""

from __future__ import annotations

from collections.abc import Mapping

from refine.curves.curve import Curve


def curve_text(curve: Curve) -> str:
    """Columns x, y[, sigma] (10 significant digits) under a header of `key = value` lines, one for each convention.

    Units: Q in 1/Å, r in Å, number density in atoms/Å^3; those of y are in the table of `refine.curves.quantities`.

    >>> print(curve_text(Curve([1, 2, 3, 4, 5], [0, 0.5, 1.5, 1.2, 1.0], quantity="S(Q)")))
    # quantity = S(Q)
    # normalisation = faber-ziman
    # radiation = neutron
    # window = none
    # qmin = 1
    # qmax = 5
    # columns: Q [1/Å], S(Q)
    1 0
    2 0.5
    3 1.5
    4 1.2
    5 1
    <BLANKLINE>
    """
    entries = {
        "quantity": curve.quantity,
        "normalisation": curve.normalisation,
        "radiation": curve.radiation,
        "pair": None if curve.pair is None else "-".join(curve.pair),
        "per": f"{curve.per:g} atoms" if curve.quantity == "I(Q)" else None,
        "self": _self(curve),
        "window": curve.window,
        "qmin": _number(curve.q_min),
        "qmax": _number(curve.q_max),
        "number_density": _number(curve.number_density),
        "composition": _named(curve.composition),
        "isotopes": " ".join(f"{element}={isotopes_text(given)}" for element, given in curve.isotopes.items()) or None,
        "charges": " ".join(f"{element}={_charge(given)}" for element, given in curve.charges.items()) or None,
        "source": curve.source or curve.name or None,
    }
    axis = "Q [1/Å]" if curve.in_q_space else "r [Å]"
    labels = [axis, curve.quantity, *(["sigma"] if curve.sigma is not None else [])]
    lines = [f"# {key} = {_line(value)}" for key, value in entries.items() if value is not None]
    columns = [curve.x, curve.y, *([] if curve.sigma is None else [curve.sigma])]
    rows = (" ".join(f"{value:.10g}" for value in row) for row in zip(*columns, strict=True))
    return "\n".join([*lines, f"# columns: {', '.join(labels)}", *rows]) + "\n"


def _self(curve: Curve) -> str | None:
    """What is in an intensity beside the distinct scattering."""
    if curve.quantity != "I(Q)":
        return None
    return "coherent and incoherent" if curve.incoherent else "coherent"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.10g}"


def _named(values: Mapping[str, float]) -> str | None:
    return " ".join(f"{name}={value:.6g}" for name, value in values.items()) or None


def _charge(given: int | tuple[float, float]) -> str:
    """As `refine convert --charges` takes it: 2, or -0.86:2.01 with a width in Q."""
    return str(given) if isinstance(given, int) else ":".join(f"{number:.6g}" for number in given)


def isotopes_text(given: int | Mapping[int, float]) -> str:
    """As `refine convert --isotopes` takes it: 36, or 1:0.5+2:0.5 of a mixture."""
    if not isinstance(given, Mapping):
        return str(given)
    return "+".join(f"{number}:{share:.6g}" for number, share in given.items())


def _line(text: str) -> str:
    """The name of a file may hold anything; a header line ends at its end."""
    return "".join(c if c.isprintable() else "?" for c in text)
