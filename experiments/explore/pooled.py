"""Each model of several loops on all frames that any of them kept apart: the table of README.md.

python experiments/explore/pooled.py FOLDER FOLDER ...
"""

import sys
from pathlib import Path

import numpy as np

from refine.learning.frames import read_labelled
from refine.learning.keys import Labels
from refine.tasks.explore.chosen import Learnt, judge

folders = [Path(word) for word in sys.argv[1:]]
files = [file for folder in folders for file in sorted(folder.glob("generations/*/apart.extxyz"))]
labels = Labels(train=("train.extxyz",))
apart = {frame.positions.tobytes(): frame for file in files for frame in read_labelled(file, labels)}
largest = max(np.abs(frame.forces).max() for frame in apart.values())
print(f"{len(apart)} frames kept apart; the largest component of a force {largest:.3g} eV/Å")
for folder in folders:
    train = []
    for place in sorted(folder.glob("generations/*/learn")):
        if (place.parent / "train.extxyz").stat().st_size:  # all that were chosen may have been left out
            train += read_labelled(place.parent / "train.extxyz", labels)
        found = judge(Learnt((place / "model.safetensors",), None, train, list(apart.values())))
        for name, one, unit in (("forces", found.forces, "meV/Å"), ("energy", found.energy, "meV/atom")):
            print(folder.name, len(train), name, f"{one.value:.4g} ± {one.stderr or 0:.2g} {unit}")
        print(found.trust)
