"""The commands ``refine models``: what they print, how they exit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from refine.cli.main import app
from refine.errors import InputError
from refine.potentials.mace import catalogue
from refine.potentials.mace.architecture import ZBL, Agnesi, Architecture, Checkpoint, Layer
from refine.potentials.mace.catalogue import CATALOGUE
from tests.logs import undated
from tests.loopback import loopback
from tests.potentials.mace.torch_files import TINY

SHA256 = "12" * 32
CONTENT = b"a model" * 1000
PUBLISHED = dataclasses.replace(
    CATALOGUE[0],
    key="tiny",
    aliases=(),
    url="https://models.example/release/Tiny.model",
    bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
RESTRICTED = dataclasses.replace(catalogue.published("matpes-r2scan-0"), key="restricted", aliases=())


def call(*words: str) -> Any:
    return CliRunner().invoke(app, ["models", *words])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and an empty current folder."""
    monkeypatch.setenv("REFINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REFINE_MODELS", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    return tmp_path / "cache" / "mace"


@pytest.fixture
def two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", (PUBLISHED, RESTRICTED))


def tiny_model() -> Checkpoint:
    """The smallest model that there can be: one layer, scalars only, two channels, two heads."""
    layer = Layer(
        density=False,
        residual=True,
        l_in=(0,),
        l_message=(0,),
        l_out=(0,),
        paths=((0, 0, 0),),
        path_factors=(1.0,),
        radial_hidden=0,
        correlation=1,
        readout="linear",
        readout_hidden=0,
    )
    architecture = Architecture(
        r_max=4.5,
        species=(1, 6, 7, 8, 26, 27),
        heads=("pbe", "r2scan"),
        channels=2,
        max_ell=0,
        bessel_prefactor=0.5,
        envelope_power=5.0,
        envelope_on_weights=False,
        agnesi=Agnesi(1.0, 2.0, 3.0),
        zbl=ZBL(6.0, 0.3, 0.45, (0.2, 0.5, 0.3, 0.03)),
        scale=(0.8, 0.9),
        shift=(0.125, -0.25),
        layers=(layer,),
        dtype="float32",
    )
    shapes = {
        "embedding": (6, 2),
        "bessel": (8,),
        "covalent_radii": (6,),
        "layers.0.up.0": (2, 2),
        "layers.0.radial.last": (8, 1, 2),
        "layers.0.message.0": (1, 2, 2),
        "layers.0.skip.0": (6, 2, 2),
        "layers.0.basis.0.1": (1, 1, 1),
        "layers.0.product.0.1": (6, 1, 2),
        "layers.0.linear.0": (2, 2),
        "layers.0.readout.0": (2, 2),
    }
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    arrays["energies"] = -np.arange(12, dtype=np.float32).reshape(2, 6)
    return Checkpoint(architecture, arrays, {"energies": 0.5}, SHA256, "tiny.model")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The tiny model in a file."""
    from refine.potentials.mace.reader.neutral import write_neutral

    path = tmp_path / "given.safetensors"
    write_neutral(tiny_model(), path)
    return path


def test_list() -> None:
    result = call("list")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["name", "MB", "licence", "theory", "elements", "r_max/Å", "here"]
    assert ["small-0b2", "67.6", "MIT", "PBE+U", "89", "5.0", "no"] in rows
    assert ["medium-mpa-0", "*", "79.5", "MIT", "PBE+U", "89", "6.0", "no"] in rows
    assert ["matpes-r2scan-0", "?", "ASL", "r2SCAN", "89", "6.0", "no"] in rows
    assert ["off23-large", "?", "ASL", "wB97M-D3(BJ)", "10", "?", "no"] in rows
    assert "heads of mh-1: omat_pbe (PBE+U), matpes_r2scan (r2SCAN)" in result.stdout
    assert "for non-commercial academic use only" in result.stdout


def test_inspect_a_model_that_takes_charge_and_spin() -> None:
    result = call("inspect", str(TINY.with_name("nonlinear-one.model")))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[-2:] == ["box           total_spin from 0 to 6", "box           total_charge from -5 to 5"]
    assert any(line.startswith("layer 1       non-linear, in l = 0") for line in lines)


def test_list_for_programs(cache: Path, two_models: None) -> None:
    cache.mkdir(parents=True)
    (cache / "Tiny.model").write_bytes(CONTENT)
    assert ["tiny", "0.0", "MIT", "PBE+U", "89", "6.0", "yes"] in [
        line.split() for line in call("list").stdout.splitlines()
    ]
    tiny, restricted = json.loads(call("list", "--json").stdout)
    assert (tiny["key"], tiny["bytes"], tiny["path"]) == ("tiny", len(CONTENT), str(cache / "Tiny.model"))
    assert (restricted["sha256"], restricted["path"], restricted["default"]) == (None, None, False)


def test_list_with_a_setting_that_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINE_MODELS", "/no/such/folder")
    result = call("list")
    assert result.exit_code == 2
    assert result.stderr == ("refine: REFINE_MODELS=/no/such/folder: no such folder; make it, or unset the variable\n")


def test_inspect(file: Path) -> None:
    result = call("inspect", str(file))
    assert result.exit_code == 0, result.output
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith(("made", "head")))
    assert lines["file"].startswith(f"{file}, ")
    assert lines["sha256"] == SHA256
    assert lines["published"] == "no model with this sha256 is known"
    assert lines["elements"] == "H C-O Fe Co (6)"
    assert lines["numbers"] == f"{sum(a.size for a in tiny_model().arrays.values())} in float32"
    assert lines["model"] == (
        "1 layer, 2 channels, r_max 4.5 Å, l of the harmonics up to 0, Agnesi transform, ZBL repulsion"
    )
    layer = "residual, in l = 0, message l = 0, out l = 0, correlation 1, readout linear"
    assert lines["layer"].split(maxsplit=1) == ["1", layer]
    assert "head r2scan  scale 0.9, shift -0.25 eV, E0 -5.5 to -3 eV" in result.stdout
    assert "made from    tiny.model" in result.stdout


def test_inspect_for_programs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", (dataclasses.replace(PUBLISHED, sha256=SHA256),))
    found = json.loads(call("inspect", str(file), "--json").stdout)
    assert (found["published"], found["licence"], found["theory"]) == ("tiny", "MIT", "PBE+U")
    assert found["size"] == file.stat().st_size
    assert found["elements"] == ["H", "C", "N", "O", "Fe", "Co"]
    assert found["heads"][0] == {"name": "pbe", "scale": 0.8, "shift": 0.125, "E0": [-2.5, 0.0]}
    assert Architecture.from_json(found["architecture"]) == tiny_model().architecture
    assert "published    tiny, PBE+U, MIT" in call("inspect", str(file)).stdout


def test_inspect_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(CONTENT)
    result = call("inspect", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"refine: {path}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["inspect", "convert", "check"])
def test_no_such_file(command: str) -> None:
    result = call(command, "missing.model")
    assert result.exit_code == 2
    assert result.stderr == (
        "refine: missing.model: no such file, and no published model; `refine models list` shows all\n"
    )
    result = call(command, "medium-mpa-0")
    assert result.exit_code == 2
    assert "medium-mpa-0 is not on this machine; run `refine models fetch medium-mpa-0`, or download" in result.stderr


def test_fetch(cache: Path, two_models: None) -> None:
    with loopback(any=CONTENT) as server:
        result = call("fetch", "tiny", "--url", f"{server.base}/any")
    assert result.exit_code == 0, result.output
    assert undated(result.stdout) == [
        "tiny: MIT License: free for any use",
        "fetching Tiny.model (0.0 MB)",
        f"tiny: {cache / 'Tiny.model'}",
    ]
    assert (cache / "Tiny.model").read_bytes() == CONTENT


def test_fetch_into_a_folder(two_models: None, tmp_path: Path) -> None:
    with loopback(any=CONTENT) as server:
        call("fetch", "tiny", "--url", f"{server.base}/any", "--folder", str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "Tiny.model").read_bytes() == CONTENT


def test_fetch_without_accepting_the_licence(two_models: None) -> None:
    with loopback(any=CONTENT) as server:
        result = call("fetch", "restricted", "--url", f"{server.base}/any")
        assert (result.exit_code, server.requests) == (2, [])
        assert "Academic Software License" in result.stderr
        result = call("fetch", "restricted", "--url", f"{server.base}/any", "--accept-licence")
        assert (result.exit_code, len(server.requests)) == (2, 1)
        assert "Academic Software License" in result.stdout
        assert "not a model that refine reads" in result.stderr


@pytest.mark.parametrize("url", ["file:///etc/hostname", "http://127.0.0.1:9/any"])
def test_fetch_that_fails_is_one_line(two_models: None, url: str) -> None:
    result = call("fetch", "tiny", "--url", url)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"refine: {url}: ")
    assert result.stderr.count("\n") == 1


def test_fetch_that_is_interrupted(two_models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, "fetch", interrupted)
    result = call("fetch", "tiny")
    assert result.exit_code == 130
    assert undated(result.stdout) == ["interrupted; the same command goes on where it stopped"]


def test_convert(file: Path) -> None:
    result = call("convert", str(file))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("given.safetensors: ")
    found = json.loads(call("inspect", "given.safetensors", "--json").stdout)
    assert found["sha256"] == SHA256
    assert Architecture.from_json(found["architecture"]) == tiny_model().architecture


def test_convert_does_not_overwrite(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    out.write_text("precious")
    result = call("convert", str(file), "--out", str(out))
    assert result.exit_code == 2
    assert result.stderr == f"refine: {out}: exists; replace it with --overwrite, or give another --out\n"
    assert out.read_text() == "precious"
    assert call("convert", str(file), "--out", str(out), "--overwrite").exit_code == 0
    assert call("inspect", str(out)).exit_code == 0


def test_convert_to_where_it_cannot_be(file: Path, tmp_path: Path) -> None:
    for out, message in ((file, "is the file that is to be converted"), (tmp_path, "is a folder")):
        result = call("convert", str(file), "--out", str(out), "--overwrite")
        assert result.exit_code == 2
        assert f"refine: {out}: {message}; give the new file with --out" in result.stderr
    result = call("convert", str(file), "--out", str(tmp_path / "none" / "a.safetensors"))
    assert result.exit_code == 2
    assert f"refine: {tmp_path / 'none'}: no such folder" in result.stderr


@dataclass
class Comparison:
    agrees: bool

    def summary(self) -> str:
        return "box 1: 1e-7 eV/atom"


@pytest.mark.parametrize(("agrees", "code"), [(True, 0), (False, 1)])
def test_check(file: Path, agrees: bool, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, int]] = []

    def compare(path: Path, seed: int) -> Comparison:
        asked.append((path, seed))
        return Comparison(agrees)

    stand_in(monkeypatch, compare)
    result = call("check", str(file), "--seed", "7")
    assert (result.exit_code, result.stdout) == (code, "box 1: 1e-7 eV/atom\n")
    assert asked == [(file, 7)]


def test_check_without_mace_jax(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(path: Path, seed: int) -> Comparison:
        raise InputError("mace-jax is not installed")

    stand_in(monkeypatch, compare)
    result = call("check", str(file))
    assert (result.exit_code, result.stderr) == (2, "refine: mace-jax is not installed\n")


def stand_in(monkeypatch: pytest.MonkeyPatch, compare: Any) -> None:
    module = ModuleType("refine.potentials.mace.second_opinion")
    module.compare = compare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_control_characters_do_not_reach_the_terminal(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = dataclasses.replace(tiny_model(), origin="a\x1b[2Jb\nc.model")
    monkeypatch.setattr("refine.potentials.mace.reader.load", lambda path: evil)
    assert "a?[2Jb?c.model" in call("inspect", str(file)).stdout
