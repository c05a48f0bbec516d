"""The findings of a diagnosis as columns for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from refine.tasks.columns import aligned
from refine.tasks.diagnose.findings import NAMES, Explanation, NumberComparison, PeakComparison


def of_directions(explanations: Sequence[Explanation]) -> list[str]:
    """A line for every state or data set of every kind of misfit."""
    head = ["direction", "of", "alone", "together", "explains alone", "adds last"]
    rows = []
    for kind in explanations:
        shares = [share(kind.share, kind.share_stderr), share(kind.last, kind.last_stderr)]
        for i, one in enumerate(kind.estimates):
            values = [value(one.alone, one.alone_stderr, one.unit)]
            values += [value(one.together, one.together_stderr, one.unit)]
            rows.append([NAMES[kind.kind] if i == 0 else "", one.member, *values, *(shares if i == 0 else ["", ""])])
    return aligned([head, *rows])


def of_peaks(peaks: Sequence[PeakComparison]) -> list[str]:
    """A line for every first peak, measured and of the model."""
    head = ["first peak of", "data", "height measured", "model", "position measured", "model", "sigma"]
    rows = [
        [
            p.curve,
            p.data,
            value(p.measured_height, p.measured_height_stderr, ""),
            value(p.model_height, p.model_height_stderr, ""),
            value(p.measured_position, p.measured_position_stderr, p.unit),
            value(p.model_position, p.model_position_stderr, p.unit),
            f"{p.sigmas:+.1f}",
        ]
        for p in peaks
    ]
    return aligned([head, *rows])


def of_slopes(peaks: Sequence[PeakComparison]) -> list[str]:
    """A line for everything that the model's first peaks depend on."""
    head = ["d(peak)", "data", "by", "of", "d height", "d position"]
    rows = [
        [
            p.curve,
            p.data,
            NAMES[s.kind],
            s.member,
            f"{s.height:+.3g} / {s.unit or 'unit'}",
            f"{s.position:+.3g} {p.unit}",
        ]
        for p in peaks
        for s in p.sensitivities
    ]
    return aligned([head, *rows])


def of_numbers(numbers: Sequence[NumberComparison]) -> list[str]:
    """A line for every measured number, and what alone would mend it."""
    head = ["number", "quantity", "measured", "model", "sigma", "mended by", "or by phi of"]
    rows = [
        [
            n.name,
            n.quantity,
            value(n.measured, n.measured_stderr, n.unit),
            value(n.model, n.model_stderr, n.unit),
            f"{n.sigmas:+.1f}",
            f"{n.temperature:+.3g} K",
            f"{n.correction:+.2g} kT, {n.at}",
        ]
        for n in numbers
    ]
    return aligned([head, *rows])


def value(number: float, error: float | None, unit: str) -> str:
    """Rounded to two digits of the error, with the unit.

    >>> value(4.0712, 0.123, "K")
    '4.07 ± 0.12 K'
    """
    if error is None or not math.isfinite(error) or error <= 0.0:
        text = f"{number:.4g}"
    else:
        decimals = max(0, 1 - math.floor(math.log10(error)))
        text = f"{number:.{decimals}f} ± {error:.{decimals}f}"
    return f"{text} {unit}".rstrip()


def signed(number: float, error: float, unit: str) -> str:
    """As `value`, with a plus sign where positive.

    >>> signed(4.0712, 0.123, "K")
    '+4.07 ± 0.12 K'
    """
    return ("+" if number > 0.0 else "") + value(number, error, unit)


def share(part: float | None, error: float | None) -> str:
    """A share in per cent; a dash where there is no misfit to share.

    >>> share(0.4212, 0.03), share(None, None)
    ('42 ± 3 %', '–')
    """
    if part is None or error is None:
        return "–"
    return f"{100.0 * part:z.0f} ± {max(1.0, 100.0 * error):.0f} %"
