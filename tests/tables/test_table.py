"""Paths in tables: which keys have them, and where they lead from another folder."""

from __future__ import annotations

import os
from pathlib import Path

from refine.study.schema import StudyConfig

TREE = {
    "title": "paths",
    "system": {"structure": "start.extxyz"},
    "states": [{"name": "a", "temperature": 300.0, "structure": "../a.extxyz"}, {"name": "b", "temperature": 400.0}],
    "data": [
        {"name": "sq", "state": "a", "file": "data/sq.dat", "quantity": "S(Q)", "radiation": "xray"},
        {"name": "p", "state": "a", "quantity": "pressure", "value": 0.0, "sigma": 0.1},
    ],
    "model": {"base": "mace", "path": "/models/my.model"},
    "compare": {"models": ["one.toml", "more/two.toml"]},
}


def test_paths_lead_to_the_same_files_from_another_folder(tmp_path: Path) -> None:
    """Also through a link to a folder elsewhere; what is absolute stays so."""
    mine, runs = tmp_path / "mine", tmp_path / "disk" / "runs"
    mine.mkdir()
    runs.mkdir(parents=True)
    (tmp_path / "link").symlink_to(runs)
    study = StudyConfig.parse(TREE, mine)
    for out in (tmp_path / "link" / "out", tmp_path / "link", mine / "out", tmp_path / "not" / "yet"):
        again = StudyConfig.parse(study.to_tree(out), out)
        before, after = dict(study.named_files()), dict(again.named_files())
        assert list(after) == list(before)
        for key, path in after.items():
            out.mkdir(parents=True, exist_ok=True)
            assert os.path.realpath(path) == os.path.realpath(before[key])
        assert again.model.path == "/models/my.model"
    assert StudyConfig.parse(study.to_tree(), mine) == study
    assert study.data[0].file == "data/sq.dat"


def test_every_file_has_its_key() -> None:
    keys = [key for key, _ in StudyConfig.parse(TREE).named_files()]
    assert keys == ["system.structure", "states.a.structure", "data.sq.file", "model.path", *2 * ["compare.models"]]
