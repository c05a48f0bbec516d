"""One turn of the loop, step by step; a step whose file is there is passed over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from refine.campaign.executors import Executor
from refine.errors import CheckpointError, InputError, SimulationError
from refine.files import make_folder, write_text
from refine.learning.explore_keys import ExploreConfig
from refine.learning.frames import LabelledFrame, read_labelled
from refine.learning.keys import Labels, LearnConfig
from refine.learning.reading import atoms_in
from refine.potentials.mace.catalogue import find
from refine.potentials.mace.reader.neutral import MODEL_FILE
from refine.progress import Progress
from refine.results.explored import Generation
from refine.study.schema import StudyConfig
from refine.tasks.explore.chosen import Learnt, choose, judge
from refine.tasks.explore.labels import Labeller, as_frame, label_frames, submit, text_of
from refine.tasks.explore.sampled import FRAMES, Sampled, sample
from refine.tasks.learn import learn
from refine.tasks.learn.store import CHECKPOINT as TRAINING

RECORD, SELECTED, TRAIN, APART = "generation.json", "selected.json", "train.extxyz", "apart.extxyz"
LABELS = Labels(train=(TRAIN,))


@dataclass(frozen=True)
class Loop:
    """What all generations have in common; out: folder.  executor: of the labels; None: this process."""

    config: ExploreConfig
    study: StudyConfig
    out: Path
    progress: Progress
    executor: Executor | None = None

    def place(self, number: int) -> Path:
        """Folder of a generation."""
        return self.out / "generations" / f"{number:03d}"

    def models(self, number: int) -> tuple[Path, ...]:
        """Files of the models that a generation trained."""
        return tuple(folder / MODEL_FILE for folder in self.trainings(number))

    def trainings(self, number: int) -> list[Path]:
        """Folders of the trainings of a generation."""
        members = self.config.select.members
        return [self.place(number) / ("learn" if k == 0 else f"learn-{k + 1}") for k in range(members)]

    def start(self) -> tuple[str, dict[str, Any] | None]:
        """What is sampled first, in words and as [model]; None: as the study has it."""
        keys = self.config.model
        if keys.new:
            return "the study's model", None
        source = {"path": str(keys.model_path.resolve())} if keys.model_path else {"name": keys.name}
        return "the start model", {"base": "mace", **source, **self.chosen}

    @property
    def chosen(self) -> dict[str, Any]:
        """Of [model], what holds for the models of all generations: head, charge and spin."""
        keys = self.config.model
        return ({} if keys.head is None else {"head": keys.head}) | keys.box

    def learnt(self, number: int) -> Learnt | None:
        """The models before a generation's labels are chosen; of the first one the start, None where there is none."""
        keys, before = self.config.model, self.labelled(number)
        if number:
            return Learnt(self.models(number), keys.head, *before)
        return None if keys.new else Learnt((keys.model_path or find(keys.name or ""),), keys.head, *before)

    def labelled(self, number: int) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
        """All frames to learn from, and all kept apart, of the generations up to one."""
        parts = []
        for name in (TRAIN, APART):
            parts.append([frame for file in self.files(name, number) for frame in read_labelled(Path(file), LABELS)])
        return parts[0], parts[1]

    def files(self, name: str, number: int) -> list[str]:
        """The files of a name of the generations up to one, but for empty ones."""
        files = [self.place(k) / name for k in range(1, number + 1)]
        return [str(file) for file in files if file.stat().st_size]


def first_generation(loop: Loop) -> Generation:
    """Number 0: nothing is learnt, the start is sampled."""
    config = loop.config
    loop.progress.message(f"the start: sampling under {loop.start()[0]}")
    found = sample(loop.study, config.sample, [loop.start()], 0, loop.place(0), loop.progress, config.model.box)
    return _record(loop, 0, Generation(0, found.by, "", 0, 0, 0, None, None, None, found.curves, None, None))


def next_generation(loop: Loop, before: Sequence[Generation]) -> Generation:
    """The generation that follows others.

    Raises:
        InputError, SimulationError, CheckpointError: see `refine.tasks.explore.explore`.
    """
    number, config = len(before), loop.config
    folder, told = loop.place(number), loop.progress.message
    if (folder / RECORD).is_file():
        return _read(folder / RECORD)
    make_folder(folder)
    words, picked, apart = _selected(loop, number)
    told(f"generation {number}: {len(picked)} frames chosen {words}, {len(apart)} kept apart")
    left_out = _labelled(loop, folder, picked, apart)
    for member in range(config.select.members):
        _train(loop, number, member)
    train, kept = loop.labelled(number)
    if not kept:
        raise SimulationError(
            "no frame is kept apart whose forces are not too large", where=str(folder), fix="raise select.largest_force"
        )
    judged = judge(Learnt(loop.models(number), config.model.head, train, kept))
    found = _checked(loop, number)
    model = loop.models(number)[0].relative_to(loop.out).as_posix()
    one = Generation(
        number=number,
        sampled=_by(loop, number - 1),
        chosen=words,
        labels=len(train),
        apart=len(kept),
        left_out=left_out,
        energy_meV_per_atom=judged.energy,
        forces_meV_per_angstrom=judged.forces,
        trust=judged.trust,
        curves=found.curves,
        failed=found.failed,
        model=model,
    )
    told(
        f"generation {number}: forces {judged.forces.value:.3g} meV/Å, energy {judged.energy.value:.3g} meV/atom; "
        + ", ".join(f"{curve.name}: R_chi {curve.r_chi:.4g}" for curve in found.curves)
    )
    return _record(loop, number, one)


def _by(loop: Loop, number: int) -> str:
    """The model of the frames of a generation, in words."""
    return str(json.loads((loop.place(number) / "sample.json").read_text(encoding="utf-8"))["by"])


def _selected(loop: Loop, number: int) -> tuple[str, list[Atoms], list[Atoms]]:
    """Of the frames of the generation before: how they were chosen, those to learn from, and those kept apart."""
    keys, path = loop.config.select, loop.place(number) / SELECTED
    frames = list(atoms_in(loop.place(number - 1) / FRAMES))
    if not path.is_file():
        if len(frames) < keys.frames + keys.apart:
            raise InputError(
                f"{len(frames)} frames are sampled, and {keys.frames} are to be chosen and {keys.apart} kept apart",
                where="[sample] frames",
                fix="sample more",
            )
        loop.progress.stage("selecting", 1)
        order = np.random.default_rng((keys.seed, number, 0)).permutation(len(frames)).tolist()
        apart, rest = sorted(order[: keys.apart]), sorted(order[keys.apart :])
        candidates = [as_frame(frames[k]) for k in rest]
        chosen, words = choose(candidates, keys, keys.frames, loop.learnt(number - 1), number)
        about = {"how": words, "chosen": [rest[k] for k in chosen], "apart": apart}
        write_text(path, json.dumps(about, indent=1) + "\n")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return str(tree["how"]), [frames[k] for k in tree["chosen"]], [frames[k] for k in tree["apart"]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"is damaged: {error!r:.80}", where=str(path), fix="remove its folder") from None


def _labelled(loop: Loop, folder: Path, picked: list[Atoms], apart: list[Atoms]) -> int:
    """Label both, and write as files what may be learnt from and judged by; how many frames may not."""
    every = [*picked, *apart]
    species = sorted({symbol for atoms in every for symbol in atoms.get_chemical_symbols()})
    labeller = Labeller(loop.config.label, species, loop.study.correction.r_cut)
    if loop.executor is not None:
        submit(every, labeller, loop.config, loop.out, folder, loop.executor)
    found = label_frames(every, labeller, loop.out / "labels", loop.progress)
    largest = loop.config.select.largest_force
    fit = [float(np.linalg.norm(one.forces, axis=1).max()) <= largest for one in found if one.forces is not None]
    left_out = fit.count(False)
    if left_out:
        loop.progress.message(f"{left_out} of {len(found)} frames are left out: forces above {largest:g} eV/Å")
    kept = [one if good else None for one, good in zip(found, fit, strict=True)]
    for name, part in ((TRAIN, kept[: len(picked)]), (APART, kept[len(picked) :])):
        write_text(folder / name, text_of([one for one in part if one is not None]))
    return left_out


def _train(loop: Loop, number: int, member: int) -> None:
    """Train a model of the generation, or go on with that, on all labels so far."""
    config, out = loop.config, loop.trainings(number)[member]
    if (out / "learn.json").is_file():
        return
    keys = config.learn.model_dump(mode="json")
    tree: dict[str, Any] = {
        "title": f"{config.title}: generation {number}",
        "frames": {part: loop.files(name, number) for part, name in (("train", TRAIN), ("test", APART))},
        "learn": {**keys, "seed": keys["seed"] + member},
    }
    if number > 1 and not config.restart:
        before = loop.models(number - 1)[member]
        tree["model"] = {"path": str(before), **loop.chosen}
    else:
        tree["model"] = config.model.seen_from(Path.cwd()).model_dump(mode="json", exclude_none=True)
    if tree["model"].get("new"):
        new = config.new.model_dump(mode="json")
        tree["new"] = {**new, "seed": new["seed"] + member}
    begun = (out / TRAINING).is_file()
    learn(LearnConfig.parse(tree, Path.cwd()), out, resume=begun, overwrite=not begun, progress=loop.progress)


def _checked(loop: Loop, number: int) -> Sampled:
    """The study sampled under the model of the generation."""
    model = {"base": "mace", "path": str(loop.models(number)[0].resolve()), **loop.chosen}
    models = [(f"the model of generation {number}", model), loop.start()]
    box = loop.config.model.box
    return sample(loop.study, loop.config.sample, models, number, loop.place(number), loop.progress, box)


def _record(loop: Loop, number: int, one: Generation) -> Generation:
    write_text(loop.place(number) / RECORD, json.dumps(asdict(one), indent=1) + "\n")
    return one


def _read(path: Path) -> Generation:
    try:
        return Generation.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"is damaged: {error!r:.80}", where=str(path), fix="remove it") from None
