"""The findings of a diagnosis as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from refine.potentials.dispersion import why_unserved
from refine.tasks.diagnose.findings import CLEAR, NAMES, Explanation, NumberComparison, PeakComparison
from refine.tasks.diagnose.tables import signed, value

COLLINEAR = 0.9
"""Correlation above which two directions cannot be told apart."""


def sentence(explanation: Explanation, subject: str) -> str:
    """What one kind explains."""
    percent, error = (100.0 * (v or 0.0) for v in (explanation.share, explanation.share_stderr))
    verb = f"{percent:z.0f} ± {max(error, 1.0):.0f} % of the misfit of {subject} is what "
    last = f"; when all the others are in, it adds {100.0 * (explanation.last or 0.0):z.0f} %."
    if explanation.kind == "pair":
        one = explanation.estimates[0]
        return (
            f"{verb}a pair correction would explain alone, largest beyond its error for {one.member}: "
            f"{value(one.alone, one.alone_stderr, one.unit)}{last}"
        )
    sizes = [f"{signed(e.alone, e.alone_stderr, e.unit)} ({e.member})" for e in explanation.estimates]
    said = f"{verb}a {NAMES[explanation.kind]} of {', '.join(sizes)} would do{last}"
    if explanation.kind in ("damping", "broadening"):
        if any(e.alone < -2.0 * e.alone_stderr for e in explanation.estimates):
            said += (
                " A negative value is nothing that an instrument can do: the model is already broader than the data."
            )
        elif explanation.kind == "damping" and any(e.alone > 2.0 * e.alone_stderr for e in explanation.estimates):
            roots = [f"{math.sqrt(max(0.0, e.alone)):.3f} 1/Å ({e.member})" for e in explanation.estimates]
            said += f" As a Gaussian resolution in Q, exp(-Q_damp² r²/2) on D(r), that is Q_damp = {', '.join(roots)}."
    return said


def structure(peak: PeakComparison) -> str:
    """Whether the model is over-structured."""
    heights = (
        f"{value(peak.model_height, peak.model_height_stderr, '')} against "
        f"{value(peak.measured_height, peak.measured_height_stderr, '')}"
    )
    positions = (
        f"at {value(peak.model_position, peak.model_position_stderr, '')} against "
        f"{value(peak.measured_position, peak.measured_position_stderr, '')} {peak.unit}"
    )
    begin = f"The base model's first peak of {peak.curve} of {peak.data}"
    errors = "" if peak.measured_height_stderr is not None else ", by the model's sampling error alone"
    if abs(peak.sigmas) < CLEAR:
        return (
            f"{begin} differs from the measured one by only {peak.sigmas:+.1f} sigma{errors} ({heights}), {positions}."
        )
    word = "too high: the model is over-structured" if peak.sigmas > 0.0 else "too low: the model is under-structured"
    return f"{begin} is {word} by {abs(peak.sigmas):.1f} sigma{errors} ({heights}), {positions}."


def of_number(number: NumberComparison) -> str:
    """Whether the base model has a measured number, and what would mend it."""
    values = (
        f"{value(number.model, number.model_stderr, number.unit)} against "
        f"{value(number.measured, number.measured_stderr, number.unit)}"
    )
    begin = f"The base model's {number.quantity} ({number.name}) is"
    if abs(number.sigmas) < CLEAR:
        return f"{begin} the measured one within errors: {values}, {number.sigmas:+.1f} sigma."
    word = "high" if number.sigmas > 0.0 else "low"
    return (
        f"{begin} too {word} by {abs(number.sigmas):.1f} sigma: {values}. By itself a temperature shift of "
        f"{number.temperature:+.3g} K would mend it, or a pair correction, the most probable one largest with "
        f"{number.correction:+.2g} kT for {number.at}."
    )


def elsewhere(theory: str | None) -> str:
    """Where the misfit may come from that is no direction here: of a base of a level of theory, see
    `refine.potentials.protocols.Base.theory`.

    >>> elsewhere("")
    'Whether another density does as much is one table without a fit: refine compare STUDY --set compare.density=true.'
    """
    command, causes = "refine compare STUDY --set compare.density=true", ["another density"]
    if theory != "":
        causes.append("another functional")
        if why_unserved(theory) is None:
            causes.append("dispersion")
            command += " --dispersion"
        command += ", and --heads all where the model has several heads"
    what = " or ".join(filter(None, (", ".join(causes[:-1]), causes[-1])))
    return f"Whether {what} does as much is one table without a fit: {command}."


def collinear(explanations: Sequence[Explanation]) -> Iterator[str]:
    """Pairs of directions that do nearly the same to the curves."""
    kinds = [e.kind for e in explanations]
    for one in explanations:
        for other, correlation in one.overlaps.items():
            if abs(correlation) >= COLLINEAR and kinds.index(other) > kinds.index(one.kind):
                yield (
                    f"A {NAMES[one.kind]} and a {NAMES[other]} cannot be told apart by these data: correlation "
                    f"{correlation:.2f}."
                )
