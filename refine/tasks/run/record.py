"""Where a run stands: a state machine of four phases, kept as JSON in run.h5.

    EQUILIBRATE --equilibrated--> SAMPLE --sampled--> UPDATE --concluded--> DONE
                                    ^                   |
                                    +------updated------+

    DONE --reopened--> UPDATE, where more updates are asked for

    SAMPLE --withdrew--> SAMPLE, where a potential cannot be sampled

Each arrow is a method of `Record`: it takes what the next phase needs, and gives the record of that phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from refine.potentials.correction import PairCorrection
from refine.refinement.fitted import Determination
from refine.refinement.problem import Update
from refine.results.judged import JudgedSample
from refine.results.schema import Status
from refine.study.choices.choice import Choice

Array = NDArray[np.float64]

DETERMINATION: TypeAdapter[Determination | None] = TypeAdapter(Determination | None)
"""Out of JSON values."""

KEPT = 4
"""Samples whose statements are kept: the lowest chi^2 may turn out to be a lucky one's, or not to be the lowest."""


class Phase(StrEnum):
    """What is to be done next.

    EQUILIBRATE: the start structures, at their temperatures under the base model.
    SAMPLE: frames of every state under `Record.potential`.
    UPDATE: the rule's answer to the newest sample.
    DONE: nothing but writing the results.
    """

    EQUILIBRATE = "start"
    SAMPLE = "sample"
    UPDATE = "update"
    DONE = "done"


@dataclass(frozen=True)
class Potential:
    """The numbers of a potential on the study's basis.

    Attributes:
        coefficients: (terms, pairs, size) eV, of all pairs.
        core, wall: (pairs,) Å (`PairCorrection`).
        parameters: (k,) of the base model; None where they are not refined.
    """

    coefficients: Array
    core: Array
    wall: Array
    parameters: Array | None = None

    @classmethod
    def of(cls, correction: PairCorrection, parameters: Array | None = None) -> Self:
        """Of a correction and parameters of the base."""
        terms = [c for c in (correction.coefficients, correction.slope) if c is not None]
        return cls(np.array(terms), correction.core, correction.wall, parameters)

    def correction(self, initial: PairCorrection) -> PairCorrection:
        """As a correction with the basis and pairs of the study's initial one."""
        theta = self.coefficients[:, list(initial.active)].ravel()
        return initial.with_theta(theta).with_core(self.core, self.wall)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "coefficients": self.coefficients.tolist(),
            "core": self.core.tolist(),
            "wall": self.wall.tolist(),
            "parameters": None if self.parameters is None else self.parameters.tolist(),
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Self:
        """The inverse of `to_json`, bit for bit."""
        coefficients, core, wall = (np.array(tree[name], float) for name in ("coefficients", "core", "wall"))
        parameters = tree.get("parameters")
        return cls(coefficients, core, wall, None if parameters is None else np.array(parameters, float))


@dataclass(frozen=True)
class Statement:
    """What a rule states of a potential that it proposes.

    Attributes:
        covariance: (n, n) of the correction's theta, eV^2.
        determination: what the data determine.
        confirmed: whether the sample under that potential came out as the rule had said; False before there is one.
    """

    covariance: Array
    determination: Determination | None
    confirmed: bool = False

    @classmethod
    def of(cls, update: Update) -> Self | None:
        """About what an update proposes; None for rules that state nothing."""
        return None if update.covariance is None else cls(update.covariance, update.determination)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        determination = None if self.determination is None else asdict(self.determination)
        return {"covariance": self.covariance.tolist(), "determination": determination, "confirmed": self.confirmed}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Self | None:
        """The inverse of `to_json`; None where the tree has no covariance."""
        if tree.get("covariance") is None:
            return None
        determination = DETERMINATION.validate_python(tree["determination"])
        return cls(np.array(tree["covariance"], float), determination, tree.get("confirmed", False))


@dataclass(frozen=True)
class Ending:
    """How a run ends, in the rule's opinion at its last update and then as the last sample bears it out.

    Attributes:
        status: how.
        message: why it ended, for the user.
    """

    status: Status
    message: str


@dataclass(frozen=True)
class Answer:
    """What a run has to say.

    Attributes:
        final: index of the sample that is the answer.
        ending: how the run ended.
        statement: about that sample's potential; None for rules without one, and of the base model.
    """

    final: int
    ending: Ending
    statement: Statement | None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        tree = {"final": self.final, "status": self.ending.status, "message": self.ending.message}
        return tree if self.statement is None else tree | self.statement.to_json()

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(tree["final"], Ending(Status(tree["status"]), tree["message"]), Statement.from_json(tree))


@dataclass(frozen=True)
class Record:
    """Where a run stands.

    Attributes:
        phase: what is to be done next.
        rule: the rule's memory.
        iterations: every sample that was judged.
        potential: that of the sample that is being taken or was taken last; None before the first.
        parent: index of the sample whose potential was changed for it; None for that of the base model.
        frames_factor: its length in units of the study's frames.
        warnings: notes of the newest sample, in words.
        seconds: of wall time, all processes that worked on the run together.
        seconds_sampling: likewise, of the sample that is to be judged.
        stated: what the rule stated of `potential`.
        best: the same of the `KEPT` samples with the lowest chi^2 so far, by their number.
        withdrawn: why potentials that were proposed since the newest sample could not be sampled, in words.
        ending: set by the last update: the sample after it is the last; None before.
        answer: None before all is done.
        choices: what was decided that the study leaves open.
    """

    phase: Phase
    rule: dict[str, Any]
    iterations: list[JudgedSample] = field(default_factory=list)
    potential: Potential | None = None
    parent: int | None = None
    frames_factor: float = 1.0
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    seconds_sampling: float = 0.0
    stated: Statement | None = None
    best: Mapping[int, Statement] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()
    ending: Ending | None = None
    answer: Answer | None = None
    choices: tuple[Choice, ...] = ()

    @classmethod
    def start(cls, rule: dict[str, Any]) -> Self:
        """Before anything was done; rule: its memory before the first update."""
        return cls(Phase.EQUILIBRATE, rule)

    # -- transitions ---------------------------------------------------------------------------------------------------

    def equilibrated(self, potential: Potential, choices: Sequence[Choice] = ()) -> Self:
        """EQUILIBRATE -> SAMPLE: all states have a start; potential: of the base model's sample."""
        self._require(Phase.EQUILIBRATE)
        return replace(self, phase=Phase.SAMPLE, potential=potential, choices=tuple(choices))

    def sampled(self, warnings: list[str], seconds: float) -> Self:
        """SAMPLE -> UPDATE: all states have their frames."""
        self._require(Phase.SAMPLE)
        return replace(self, phase=Phase.UPDATE, warnings=warnings, seconds_sampling=seconds)

    def updated(
        self,
        judged: JudgedSample,
        update: Update,
        potential: Potential,
        *,
        frames_factor: float,
        ending: Ending | None,
    ) -> Self:
        """UPDATE -> SAMPLE: the newest sample is judged, and the rule has said what to sample next.

        judged: the newest sample.  ending: where the next sample is the last.
        """
        self._require(Phase.UPDATE)
        iterations = self.judged(judged, update)
        return replace(
            self,
            phase=Phase.SAMPLE,
            iterations=iterations,
            rule=update.state,
            stated=Statement.of(update),
            best=self._best_of(iterations, update),
            potential=potential,
            parent=update.restart,
            withdrawn=(),
            frames_factor=frames_factor,
            seconds_sampling=0.0,
            ending=ending,
        )

    def judged(self, newest: JudgedSample, update: Update) -> list[JudgedSample]:
        """All samples, after what an update says of the newest one."""
        before = [one.doubted() if one.iteration == update.lucky else one for one in self.iterations]
        # the newest may itself come from an earlier one, where what followed that could not be gone on from
        start = update.restart if self.parent is None else min(update.restart, self.parent)
        return [*before[: start + 1], *(one.left(start) for one in before[start + 1 :]), newest]

    def withdrew(self, update: Update, potential: Potential, words: str) -> Self:
        """SAMPLE -> SAMPLE: the potential could not be sampled, and the rule has said what to sample instead."""
        self._require(Phase.SAMPLE)
        return replace(
            self,
            rule=update.state,
            potential=potential,
            parent=update.restart,
            stated=Statement.of(update),
            withdrawn=(*self.withdrawn, words),
        )

    def borne_out(self, update: Update) -> Statement | None:
        """What was stated of the newest sample's potential, and whether an update's verdict confirms it."""
        return None if self.stated is None else replace(self.stated, confirmed=update.confirmed)

    def _best_of(self, iterations: Sequence[JudgedSample], update: Update) -> dict[int, Statement]:
        """`best` after an update: of samples that are accepted still."""
        newest, stated = iterations[-1].iteration, dict(self.best)
        if (borne_out := self.borne_out(update)) is not None:
            stated[newest] = borne_out
        accepted = sorted((one.chi2, one.iteration) for one in iterations if one.accepted and one.iteration in stated)
        return {number: stated[number] for _, number in accepted[:KEPT]}

    def concluded(self, iterations: list[JudgedSample], answer: Answer) -> Self:
        """UPDATE -> DONE: the last sample is judged. All else stays, so that the run can be `reopened`."""
        self._require(Phase.UPDATE)
        return replace(self, phase=Phase.DONE, iterations=iterations, answer=answer)

    def stopped(self, answer: Answer) -> Self:
        """SAMPLE -> DONE: what the rule proposes cannot be sampled. All else stays, to be `reopened`."""
        self._require(Phase.SAMPLE)
        return replace(self, phase=Phase.DONE, ending=answer.ending, answer=answer)

    def reopened(self) -> Self:
        """Where a run goes on that ended, or was about to, at its limit of updates and had not converged there, or
        before what cannot be sampled; the record itself elsewhere.

        DONE -> UPDATE: the last sample is judged once more, as one that others follow. DONE -> SAMPLE of a run that was
        `stopped`: what it tried last is tried again, and shorter steps after it.
        """
        if self.ending is not None and self.ending.status is Status.UNSAMPLED:
            return replace(self, phase=Phase.SAMPLE, ending=None, answer=None, withdrawn=())
        if self.ending is None or self.ending.status is not Status.EXHAUSTED:
            return self
        if self.phase is not Phase.DONE:
            return replace(self, ending=None)
        if self.answer is not None and self.answer.ending.status is Status.CONVERGED:
            return self
        return replace(self, phase=Phase.UPDATE, iterations=self.iterations[:-1], ending=None, answer=None)

    def _require(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise ValueError(f"the run is in phase {self.phase.name}, and not in {phase.name}")

    # -- run.h5 --------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """JSON values; names are those of the first format, so that older runs go on."""
        tree: dict[str, Any] = {
            "phase": self.phase.value,
            "rule": self.rule,
            "iterations": [sample.to_json() for sample in self.iterations],
            "next": None if self.potential is None else self.potential.to_json(),
            "parent": self.parent,
            "frames_factor": self.frames_factor,
            "warnings": self.warnings,
            "seconds": self.seconds,
            "seconds_sampling": self.seconds_sampling,
        }
        if self.choices:
            tree["choices"] = [choice.to_json() for choice in self.choices]
        if self.stated is not None:
            tree |= self.stated.to_json()
        if self.best:
            tree["best"] = {str(number): statement.to_json() for number, statement in self.best.items()}
        if self.withdrawn:
            tree["withdrawn"] = list(self.withdrawn)
        if self.ending is not None:
            tree |= {"last": True, "status": self.ending.status, "message": self.ending.message}
        if self.answer is not None:
            tree["answer"] = self.answer.to_json()
        return tree

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Self:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for what is no record."""
        phase, ending, answer = Phase(tree["phase"]), None, None
        if "unconfirmed" in tree:  # an earlier name
            tree = tree | {"confirmed": not tree["unconfirmed"]}
        stated = Statement.from_json(tree)
        if tree.get("last"):
            ending = Ending(Status(tree["status"]), tree["message"])
        if phase is Phase.DONE:
            if ending is None:
                raise ValueError("a run that is done has no ending")
            if "answer" in tree:
                answer = Answer.from_json(tree["answer"])
            else:  # an earlier version, which kept only what is stated of the answer
                answer = Answer(tree["final"], ending, stated)
                stated = stated if answer.final == len(tree["iterations"]) - 1 else None
        iterations = [JudgedSample.from_json(row) for row in tree["iterations"]]
        return cls(
            phase,
            tree["rule"],
            iterations,
            None if tree["next"] is None else Potential.from_json(tree["next"]),
            tree["parent"],
            tree["frames_factor"],
            tree["warnings"],
            tree["seconds"],
            tree.get("seconds_sampling", 0.0),
            stated,
            _best(tree.get("best", {}), iterations),
            tuple(tree.get("withdrawn", ())),
            ending,
            answer,
            tuple(Choice(**choice) for choice in tree.get("choices", ())),
        )


def _best(tree: Mapping[str, Any], iterations: Sequence[JudgedSample]) -> dict[int, Statement]:
    """`Record.best`; an earlier version kept one statement, of the lowest chi^2 before the last sample."""
    if "covariance" in tree:
        accepted = [(one.chi2, one.iteration) for one in iterations if one.accepted]
        tree = {str(min(accepted)[1]): tree} if accepted else {}
    found = {int(number): Statement.from_json(statement) for number, statement in tree.items()}
    return {number: statement for number, statement in found.items() if statement is not None}
