"""Results put into words, plain text without markup: numbers, symbols and units, the headline, the warnings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from refine.curves import quantities
from refine.results.determined import Combination, DeterminedPair
from refine.results.reader import Results
from refine.results.schema import DataSet, Declared, Scores, Status, Summary

_SUPERSCRIPT = {-3: "⁻³", -2: "⁻²", -1: "⁻¹", 0: ""}

UNSEEN = 0.1
"""A pair of whose correction the data decide less than this share, at every distance, is not seen by them."""

ROLES = {"fit": "fitted", "score": "only scored"}
_NORMALISATIONS = {"faber-ziman": "Faber–Ziman", "keen": "Keen", "<f^2>": "⟨f²⟩"}
_RADIATIONS = {"neutron": "neutrons", "xray": "x-rays"}


def change(of: Mapping[str, float | None]) -> str:
    """A refined parameter before and after.

    >>> change({"initial": 3.405, "final": 3.4123})
    '3.4050 → 3.4123'
    """
    text = f"{number(of.get('initial'), 5)} → {number(of.get('final'), 5)}"
    return f"{text}, rms of the change {number(of['change'])}" if "change" in of else text


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table, with a given count of significant digits; a dash where it is not known.

    >>> number(3.14159), number(None), number(4.2e-9)
    ('3.14', '–', '4.20×10⁻⁹')
    """
    if value is None:
        return "–"
    text = f"{value:#.{digits}g}".rstrip(".")
    if "e" in text:
        mantissa, exponent = text.split("e")
        if 0 < int(exponent) < 7:
            # As is usual in tables of numbers, four digits stand together.
            return f"{value:,.0f}".replace(",", "\u202f" if abs(value) >= 1e4 else "").replace("-", "−")
        return f"{mantissa}×10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return text.replace("-", "−")


def misfit(value: float | None, stderr: float | None = None) -> str:
    """R_χ with three decimals (four below 0.1, or where the error asks for them), and its standard error if any.

    >>> misfit(0.0163, 0.0004), misfit(0.21)
    ('0.0163 ± 0.0004', '0.210')
    """
    if value is None:
        return "–"
    decimals = 4 if value < 0.1 or (stderr is not None and 0.0 < stderr < 0.001) else 3
    error = "" if stderr is None else f" ± {stderr:.{decimals}f}"
    return f"{value:.{decimals}f}{error}"


def duration(seconds: float | None) -> str:
    """A time span as one reads it: 7.1 s, 71 s, 12 min, 3.4 h."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f}\u00a0s"
    if seconds < 120:
        return f"{seconds:.0f}\u00a0s"
    return f"{seconds / 60:.0f}\u00a0min" if seconds < 7200 else f"{seconds / 3600:.1f}\u00a0h"


def is_q_space(data: Declared) -> bool:
    """Whether the curve runs over Q."""
    return quantities.is_q_space(data.quantity)


def abscissa(data: Declared) -> str:
    """The label of the horizontal axis with its unit."""
    return "Q (Å⁻¹)" if is_q_space(data) else "r (Å)"


def symbol(data: Declared) -> str:
    """The quantity as it is typeset, with the pair of a partial: S(Q), Q[S(Q) − 1], g(r) of Si–O."""
    text = quantities.quantity_of(data.quantity).symbol
    return text if data.pair is None else f"{text} of {'–'.join(data.pair)}"


def unit(data: Declared) -> str:
    """The unit of the ordinate (`refine.curves.quantities.units`); empty where it is dimensionless."""
    scattering, power = quantities.units(data.quantity, data.normalisation, data.radiation)
    length = f"Å{_SUPERSCRIPT[power]}" if power else ""
    return " ".join(part for part in (scattering, length) if part)


def ordinate(data: Declared) -> str:
    """The label of the vertical axis with its unit."""
    return f"{symbol(data)} ({unit(data)})" if unit(data) else symbol(data)


def role(data: DataSet, results: Results) -> str:
    """Whether the curve was fitted, for a reader; of a state without any fitted curve it is a prediction."""
    fitted_states = {other.state for other in results.summary.data if other.role == "fit"}
    if data.role != "fit" and data.state not in fitted_states:
        return "predicted"
    return ROLES.get(data.role, data.role)


def ranges(limits: Iterable[tuple[float, float]], unit_name: str = "Å") -> str:
    """Several ranges, 2.1–4.2 and 5.0–6.3 Å.

    >>> ranges([(2.1, 4.2), (5.0, 6.3)])
    '2.1–4.2 and 5.0–6.3 Å'
    """
    return " and ".join(f"{low:.1f}–{high:.1f}" for low, high in limits) + f" {unit_name}"


EXACT = 1e-5
"""A standard error below this part of the number is none for a reader: a network at 300 K breaks no bond."""


def with_error(value: float | None, stderr: float | None) -> str:
    """A number rounded to two digits of its standard error, 4.07 ± 0.12; without it where it is below `EXACT`.

    >>> with_error(4.0712, 0.123), with_error(4.0, None)
    ('4.07 ± 0.12', '4.00')
    """
    if value is None or not stderr or not math.isfinite(stderr) or stderr < EXACT * abs(value):
        return number(value)
    decimals = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:.{decimals}f} ± {stderr:.{decimals}f}"


def _count(value: int | None) -> str:
    return "–" if value is None else str(value)


FAINT = 0.05
"""Weight below which a pair is not named in a combination."""

CONTRADICTION = 3.0
"""Standard deviations from which data sets are said to contradict each other."""


def determined(results: Results) -> list[str]:
    """What the data determine, in sentences; empty where the rule does not know."""
    determination = results.summary.determination
    if determination is None:
        return []
    above = sum(value > 1.0 for value in determination.singular_values)
    sentences = [
        f"The data determine {number(determination.directions)} of the {_count(determination.parameters)} "
        f"coefficients' directions; {above} singular values of the whitened Jacobian exceed one."
    ]
    for data in determination.data:
        text = f"{data.name}: {number(data.alone)} directions by itself"
        if len(determination.data) > 1:
            text += f", {number(data.adds)} more than all others together"
        if data.points != 1:  # a curve
            text += f"; Nyquist's count for its Q range and the correction's r range is {number(data.nyquist)}"
        sentences.append(f"{text}.")
    if len(determination.combinations) > 1:
        best, least = determination.combinations[0], determination.combinations[-1]
        sentences.append(
            "Of changes of φ in one proportion at every distance the data see "
            f"{_proportion(best, determination.pairs)} best ({number(best.directions)} directions), and "
            f"{_proportion(least, determination.pairs)} least ({number(least.directions)})."
        )
    for pair in determination.pairs:
        if pair.decided:
            sentences.append(f"{pair.name}: the data decide over {ranges(pair.decided)}, the prior elsewhere.")
        elif (most := max((share for share in pair.share if share is not None), default=0.0)) < UNSEEN:
            sentences.append(f"{pair.name}: the data cannot see this pair; its correction is the prior's.")
        else:
            sentences.append(
                f"{pair.name}: nowhere do the data decide more than {most:.0%} of φ by itself; what they determine are "
                "combinations of pairs or distances."
            )
    return sentences


def undetermined(results: Results) -> str:
    """Why there is nothing that `determined` could say."""
    if results.summary.status is Status.NOT_IMPROVED:
        return "The answer is the base model itself, without a correction that data could determine."
    if results.summary.confirmed:
        return "This method does not say what the data determine."
    return (
        "Left out: it rests on a linear response that the final sample did not confirm. A run that goes on, with "
        "--resume and more iterations or frames, may be confirmed."
    )


def _proportion(combination: Combination, pairs: Sequence[DeterminedPair]) -> str:
    """Ca–Ca : Cl–Cl = 1 : -0.2, without the pairs that hardly take part."""
    parts = [
        (pair.name, number(weight))
        for pair, weight in zip(pairs, combination.weights, strict=False)
        if abs(weight) > FAINT
    ]
    if len(parts) == 1:
        return f"{parts[0][0]} alone"
    return f"{' : '.join(name for name, _ in parts)} = {' : '.join(weight for _, weight in parts)}"


def contradictions(summary: Summary) -> list[str]:
    """Data sets that do not fit together, who contradicts whom.

    What a fit describes with one correction, each within its errors, does not contradict itself, however badly one
    part of it alone predicts another: far from what it says itself the prior is a poor guide, and linear response, too.
    """
    determination = summary.determination
    sentences = []
    for one in determination.tension if determination is not None else []:
        together = math.inf if one.together is None else one.together
        if one.sigma is not None and min(one.sigma, together) > CONTRADICTION:
            other = "all other data sets together" if one.given is None else one.given
            sentences.append(
                f"{one.data} contradicts {other}: predicted from there it is off by {one.sigma:.1f} σ "
                f"(χ² {number(one.chi2)} on {_count(one.points)} points)."
            )
    return sentences


def limits(summary: Summary) -> list[str]:
    """Corrections that the prior holds back."""
    determination = summary.determination
    return [
        f"{pair.name}: φ at {pair.at_limit[0]:.2f} Å is {pair.at_limit[1]:.1f} prior standard deviations from zero; "
        "the prior holds it back, so the base model or the data may be wrong there."
        for pair in (determination.pairs if determination is not None else [])
        if pair.at_limit is not None
    ]


def declaration(data: Declared) -> str:
    """What the curve was declared to be: D(r) (barn/sr Å⁻²), normalisation Keen, neutrons."""
    parts = [ordinate(data), f"normalisation {_NORMALISATIONS.get(data.normalisation, data.normalisation)}"]
    if data.radiation:
        parts.append(_RADIATIONS.get(data.radiation, data.radiation))
    return ", ".join(parts)


def span(limits: Iterable[float] | None, unit_name: str = "Å") -> str:
    """A range with its unit, 3 to 12 Å; a dash where there is none.

    >>> span((3.0, 12.0)), span(None)
    ('3 to 12 Å', '–')
    """
    return "–" if limits is None else " to ".join(f"{x:g}" for x in limits) + f" {unit_name}"


@dataclass(frozen=True)
class Headline:
    """The result in sentences: what became of the misfit and of the curves not fitted, and why the run ended."""

    result: str
    scored: str
    ending: str


def headline(results: Results) -> Headline:
    """Say in words what the run did to R_χ and why it stopped."""
    summary = results.summary
    fitted = [data for data in summary.data if data.role == "fit"]
    scored = [data for data in summary.data if data.role != "fit"]
    message = summary.message.strip().rstrip(".")
    result = _fall(fitted, summary)
    if summary.status is Status.NOT_IMPROVED:
        result = "No step improved on the base model: what follows is the base model itself."
        ending = f"{message[:1].upper()}{message[1:]}."
    elif summary.status is Status.CONVERGED:
        ending = f"The run stopped by itself: {message}." if message else "The run stopped by itself."
    else:
        reason = f": {message}" if message else ""
        ending = f"The run did not converge ({summary.status.replace('-', ' ')}){reason}."
    return Headline(result=result, scored=_scored(scored, summary), ending=ending)


def _before_and_after(data: DataSet, summary: Summary) -> tuple[float, float] | None:
    """R_χ of the base model and of the answer; None where one of them is not known."""
    before, after = summary.initial.r_chi.get(data.name), summary.final.r_chi.get(data.name)
    return None if before is None or after is None else (before, after)


def _with_errors(data: DataSet, summary: Summary) -> tuple[str, str]:
    """The same in words."""
    before, after = (misfit(s.r_chi.get(data.name), s.r_chi_stderr.get(data.name)) for s in _scores(summary))
    return before, after


def _scores(summary: Summary) -> tuple[Scores, Scores]:
    return summary.initial, summary.final


def _verb(before: float, after: float) -> str:
    return "fell" if after < before else "rose" if after > before else "stayed"


def _fall(fitted: list[DataSet], summary: Summary) -> str:
    known = [(data, both) for data in fitted if (both := _before_and_after(data, summary)) is not None]
    if not known:
        return "No fitted curve has an R_χ of T(r); see χ² in the table."
    if len(known) == 1:
        data, (before, after) = known[0]
        over = f" over {span(data.score_r)}" if data.score_r else ""
        return f"R_χ of T(r){over} {_verb(before, after)} from {' to '.join(_with_errors(data, summary))}."
    better = sum(after < before for _, (before, after) in known)
    means = [sum(both[k] for _, both in known) / len(known) for k in (0, 1)]
    which = f"in all {len(known)}" if better == len(known) else f"in {better} of the {len(known)}"
    hardly = [data.name for data, (before, after) in known if 0.0 < before - after < _noise(data, summary)]
    within = f", in {' and '.join(hardly)} by less than two standard errors" if hardly else ""
    return (
        f"R_χ of T(r) fell {which} fitted curves{within}; "
        f"their mean {_verb(means[0], means[1])} from {misfit(means[0])} to {misfit(means[1])}."
    )


def _noise(data: DataSet, summary: Summary) -> float:
    """Two standard errors of the difference of both R_χ; zero where they are not known."""
    errors = [scores.r_chi_stderr.get(data.name) for scores in _scores(summary)]
    return 2.0 * math.hypot(*(error or 0.0 for error in errors))


def _scored(scored: list[DataSet], summary: Summary) -> str:
    parts = [
        f"{data.name} {' → '.join(_with_errors(data, summary))}"
        for data in scored
        if _before_and_after(data, summary) is not None
    ]
    return f"Not fitted, only scored: {'; '.join(parts)}." if parts else ""


def warnings(results: Results) -> list[str]:
    """What a reader must know about the data before trusting the result, each with its numbers.

    That a run did not converge is said by the headline, and not again here.
    """
    doubts = [f"{data.name}: {text}" for data in results.summary.data for text in data.warnings]
    return doubts + cautions(results.summary)


def cautions(summary: Summary) -> list[str]:
    """The same about the outcome."""
    sentences = []
    for data in summary.data:
        both = _before_and_after(data, summary)
        if both is not None and both[1] > both[0]:
            sentences.append(f"{data.name}: R_χ rose from {' to '.join(_with_errors(data, summary))}.")
    for one in summary.numbers:
        before, after = one.initial_sigmas, one.final_sigmas
        if after is not None and abs(after) > CONTRADICTION:
            was = "" if before is None else f", {number(before, 2)} before"
            sentences.append(
                f"{one.name}: the model's {one.quantity} is off by {number(after, 2)} standard deviations{was}."
            )
    if not summary.yields_potential:
        sentences.append("The method moves atoms to fit the data; no potential comes out, only structures.")
    return sentences + contradictions(summary) + limits(summary) + summary.notes
