"""What `refine compare` compares: the study's base model or its heads, models of files, refined potentials of runs,
and each model with and without dispersion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from refine.errors import InputError, RefineError
from refine.export.read import Exported, read_correction, read_study
from refine.potentials.bases import BASES, base_of
from refine.potentials.dispersion import why_unserved
from refine.potentials.keys import Model
from refine.study.schema import ModelFile, StudyConfig
from refine.tables.explain import shown

NO_ROW = "No row with D3: "
"""How a note begins that says why."""

WITH, WITHOUT = "+D3", "-no-D3"
"""Behind the name of a model: it has dispersion; it has the one of its table no more."""


@dataclass(frozen=True)
class Contender:
    """A base model, or what a run made of it, at the temperature of each state.

    opened: the base model, where it has been read.
    failure: why there is no model.
    notes: what is to be said of it.
    """

    label: str
    model: Model | None
    run: tuple[Exported, ...] = ()
    opened: Any = None
    failure: str | None = None
    notes: tuple[str, ...] = ()


def of_study(config: StudyConfig, heads: Sequence[str] | Literal["all"] | None) -> list[Contender]:
    """The study's base model, or each of its heads that is asked for, of a file that is read once.

    Raises:
        InputError: a base without heads, or a name that is none of its heads.
    """
    model = config.model
    if heads is None:
        return [Contender(model.title + _d3(model), model)]
    if isinstance(heads, str) and heads != "all":
        heads = [heads]
    known = base_of(model.base, model.dispersion).heads(model)
    if len(known) < 2:
        has = "one head only" if known else "no heads"
        raise InputError(f"the study's base, {model.title}, has {has}", where="--heads", fix="leave it out")
    wanted = list(dict.fromkeys(known if heads == "all" else heads))
    for name in wanted:
        if name not in known:
            raise InputError(f"the model has no head {shown(name)}", where="--heads", fix=f"it has {', '.join(known)}")
    if not wanted:
        raise InputError("no head is named", where="--heads", fix=f"it has {', '.join(known)}")
    found, labels = [], set()
    for name in wanted:
        label = first = _file_name(f"{model.title}-{name}")
        number = 2
        while label.lower() in labels:  # heads that differ in what a folder's name cannot hold
            label, number = f"{first}-{number}", number + 1
        labels.add(label.lower())
        found.append(Contender(label + _d3(model), _with(model, head=name), opened=known[name]))
    return found


def of_file(file: str | Path) -> Contender:
    """The model of a file; InputError for one that is no model file, while a base that is not known here keeps no other
    from being compared."""
    tree = ModelFile.tree(Path(file))
    table = tree.get("model")
    base = table.get("base") if isinstance(table, dict) else None
    if isinstance(base, str) and base not in BASES.entries:
        return Contender(
            str(tree.get("label", Path(file).stem)), None, failure=f"[model] base = {shown(base)} is not known"
        )
    read = ModelFile.from_toml(file)
    return Contender(read.label, read.model)


def of_run(folder: Path, config: StudyConfig) -> Contender:
    """The refined potential of a finished run."""
    changing = read_study(folder).correction.temperature == "linear"
    run = tuple(read_correction(folder, state.temperature if changing else None) for state in config.states)
    if run[0].parameters is not None and run[0].kind.refined_file is not None:
        raise InputError(
            "its refined weights are a model of their own",
            where=str(folder),
            fix="give a file with a [model] table whose path they are by --models",
        )
    return Contender(folder.resolve().name, run[0].study.model, run)


def with_and_without(contender: Contender) -> list[Contender]:
    """A contender and, where refine's D3 belongs on it, the same with D3; without the D3 that it has. The refined
    potential of a run stands alone: its correction was found for the base as it is.

    Where it gets no D3 its last note says why. What cannot be read is left to fail later.
    """
    model = contender.model
    if model is None or contender.run:
        return [contender]
    try:
        contender = _read(contender)
    except RefineError:
        return [contender]
    if model.dispersion != "none":
        return [contender, replace(contender, label=twin_label(contender), model=_with(model, dispersion="none"))]
    theory = base_of(model.base).theory(model, contender.opened)
    reason = why_unserved(theory)
    if reason is not None:
        return [replace(contender, notes=(*contender.notes, f"{NO_ROW}{reason}."))]
    doubt = () if theory is not None else ("Its level of theory is not known; D3 is damped for PBE.",)
    other = replace(contender, label=twin_label(contender), model=_with(model, dispersion="d3-bj"))
    return [contender, replace(other, notes=(*other.notes, *doubt))]


def twin_label(contender: Contender) -> str:
    """What the same model is called with dispersion, or without the one that it has.

    >>> twin_label(Contender("mace-omol", Model(base="mace")))
    'mace-omol+D3'
    """
    label = contender.label
    if contender.model is None or contender.model.dispersion == "none":
        return label + WITH
    return label.removesuffix(WITH) if label.endswith(WITH) else label + WITHOUT


def paired(contenders: Sequence[Contender], *, alone: bool) -> list[Contender]:
    """Those of the study, each with and without dispersion; InputError where not one of them can have it and they are
    alone: no file could."""
    found = [with_and_without(one) for one in contenders]
    if alone and all(len(group) == 1 and group[0].notes for group in found):
        raise InputError(
            found[0][0].notes[-1].removeprefix(NO_ROW).rstrip("."),
            where="--dispersion",
            fix="leave it out, or give files of models that D3 belongs on by --models",
        )
    return [one for group in found for one in group]


def _read(contender: Contender) -> Contender:
    """With the base model read, where it is a file; InputError where that cannot be, or is of another head."""
    model = contender.model
    if contender.opened is not None or model is None:
        return contender
    known = base_of(model.base).heads(model)
    if not known:
        return contender
    head = getattr(model, "head", None) or (next(iter(known)) if len(known) == 1 else "")
    if head not in known:
        raise InputError(f"no head {head!r}", where=contender.label)
    return replace(contender, opened=known[head])


def _with(model: Model, **changes: Any) -> Model:
    return model.model_copy(update=changes)


def _d3(model: Model) -> str:
    return WITH if model.dispersion != "none" else ""


def _file_name(label: str) -> str:
    """A label as the name of a folder; heads may be called anything.

    >>> _file_name("mh-1-a/b c")
    'mh-1-a_b_c'
    """
    return re.sub(r"[^A-Za-z0-9._+-]", "_", label)[:80]
