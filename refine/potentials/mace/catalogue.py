"""The published MACE models: what they are, where they are on this machine, and how they get there.

Sizes, sha256 and addresses are of the release pages of ACEsuit/mace-mp and ACEsuit/mace-foundations; cutoffs are those
of the training scripts in these repositories. All are of the 89 elements H to Bi and Ac to Pu.
Source: I. Batatia et al., A foundation model for atomistic materials chemistry, arXiv:2401.00096 (2023).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refine.errors import InputError
from refine.potentials.mace.places import cache_folder, models_setting
from refine.progress import NullProgress, Progress

__all__ = [
    "CATALOGUE",
    "DEFAULT",
    "LICENCES",
    "Published",
    "by_sha256",
    "fetch",
    "find",
    "locate",
    "published",
    "resolve",
]

DEFAULT = "medium-mpa-0"
"""The key to recommend where nothing speaks for another."""

LICENCES = {
    "MIT": "MIT License: free for any use",
    "ASL": "Academic Software License, https://github.com/gabor1/ASL: for non-commercial academic use only",
}
"""What a licence says, in one line."""

MUST_BE_ACCEPTED = frozenset({"ASL"})
"""Licences that restrict the use."""


@dataclass(frozen=True)
class Published:
    """A model that its authors have published.

    Attributes:
        key: its name here, which is mostly that of mace-torch.
        url: of the file, on the release page.
        bytes, sha256: of the file; None where nobody has said.
        licence: key of `LICENCES`.
        theory: level of theory of the training data.
        r_max: cutoff, Å.
        summary: training data and architecture, in one line.
        aliases: other names.
        elements: their number.
    """

    key: str
    url: str
    bytes: int | None
    sha256: str | None
    licence: str
    theory: str
    r_max: float
    summary: str
    aliases: tuple[str, ...] = ()
    elements: int = 89

    @property
    def filename(self) -> str:
        """Name of the file, as published."""
        return self.url.rpartition("/")[2]

    @property
    def tail(self) -> str:
        """Release and name of the file: the end of the URL, and the path on a mirror."""
        return "/".join(self.url.split("/")[-2:])

    @property
    def names(self) -> tuple[str, ...]:
        """Everything the model may be called, the key first."""
        return (self.key, *self.aliases, self.filename, self.filename.rpartition(".")[0])

    @property
    def size(self) -> str:
        """Size in words."""
        return "size not known" if self.bytes is None else f"{self.bytes / 1e6:.1f} MB"


_MP = "https://github.com/ACEsuit/mace-mp/releases/download"
_FOUNDATIONS = "https://github.com/ACEsuit/mace-foundations/releases/download"

CATALOGUE: tuple[Published, ...] = (
    Published(
        key="small",
        url=f"{_MP}/mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249.model",
        bytes=32581838,
        sha256="2ddb079cee0e131eaaf6912ba581b394551ead283e95c99cfe78c605d10b5736",
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MP-0a, MPTrj; 128 channels, L = 0; no repulsion at short distance",
        aliases=("small-0a", "mace-mp-0a-small"),
    ),
    Published(
        key="medium",
        url=f"{_MP}/mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model",
        bytes=44422970,
        sha256="01bfe22100139f424713cf921144e5509cbe353d67aa9fa1be9c6e1e0ed35845",
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MP-0a, MPTrj; 128 channels, L = 1; no repulsion at short distance",
        aliases=("medium-0a", "mace-mp-0a-medium"),
    ),
    Published(
        key="large",
        url=f"{_MP}/mace_mp_0/MACE_MPtrj_2022.9.model",
        bytes=133803220,
        sha256="f80e992b65ab8f88fdf26964511357c022e92704e4d9bcd086652635a8495b32",
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MP-0a, MPTrj; the file that mace-torch calls large, which is not the one of the release notes",
    ),
    Published(
        key="small-0b",
        url=f"{_MP}/mace_mp_0b/mace_agnesi_small.model",
        bytes=67603120,
        sha256="7e3a0abcaf41e03a80e69f778e1b11b29de1cca704783dc25917a736392f8cf0",
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MP-0b, MPTrj; 128 channels, L = 0; ZBL repulsion, Agnesi transform",
        aliases=("mace-mp-0b-small",),
    ),
    Published(
        key="medium-0b",
        url=f"{_MP}/mace_mp_0b/mace_agnesi_medium.model",
        bytes=79447096,
        sha256="ab8baff639a8f295f3eccad3d3ccf574efb6fb63220bd52cd88664211569e521",
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MP-0b, MPTrj; 128 channels, L = 1; ZBL repulsion, Agnesi transform",
        aliases=("mace-mp-0b-medium",),
    ),
    Published(
        key="small-0b2",
        url=f"{_MP}/mace_mp_0b2/mace-small-density-agnesi-stress.model",
        bytes=67622684,
        sha256="d5773bf9440e96d6eb8c598f84bd0e6369fcfa432f626a87f890e07da3c651c9",
        licence="MIT",
        theory="PBE+U",
        r_max=5.0,
        summary="MACE-MP-0b2, MPTrj; 128 channels, L = 0; density-normalised, ZBL repulsion, Agnesi transform",
        aliases=("mace-mp-0b2-small",),
    ),
    Published(
        key="medium-0b2",
        url=f"{_MP}/mace_mp_0b2/mace-medium-density-agnesi-stress.model",
        bytes=79462798,
        sha256="a90be07c8aa6623c390fcc4653d3e319c4a356f8b4a53d323f96b2012d375caf",
        licence="MIT",
        theory="PBE+U",
        r_max=5.0,
        summary="MACE-MP-0b2, MPTrj; 128 channels, L = 1; density-normalised, ZBL repulsion, Agnesi transform",
        aliases=("mace-mp-0b2-medium",),
    ),
    Published(
        key="large-0b2",
        url=f"{_MP}/mace_mp_0b2/mace-large-density-agnesi-stress.model",
        bytes=98544548,
        sha256="348390e758e1c90011c7675e864850f8e9c5b3e7c217f79a2b4bad1baaa657ad",
        licence="MIT",
        theory="PBE+U",
        r_max=5.0,
        summary="MACE-MP-0b2, MPTrj; 128 channels, L = 2; density-normalised, ZBL repulsion, Agnesi transform",
        aliases=("mace-mp-0b2-large",),
    ),
    Published(
        key="medium-0b3",
        url=f"{_MP}/mace_mp_0b3/mace-mp-0b3-medium.model",
        bytes=79472952,
        sha256="2f2be696351ac9e94fbe01cdfb6f017679acdbd2db7645209ef55fec9826b012",
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MP-0b3, MPTrj; 128 channels, L = 1; as 0b2, with better phonons",
    ),
    Published(
        key="medium-mpa-0",
        url=f"{_MP}/mace_mpa_0/mace-mpa-0-medium.model",
        bytes=79462305,
        sha256="75428afe3a1d7d8062e19bcaabd5c433623cabf308242ec9fb493e38604fb638",
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MPA-0, MPTrj and sAlex; 128 channels, L = 1; architecture of 0b3; the one to begin with",
        aliases=("mace-mpa-0", "mpa-0"),
    ),
    Published(
        key="small-omat-0",
        url=f"{_MP}/mace_omat_0/mace-omat-0-small.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-OMAT-0, OMat24",
    ),
    Published(
        key="medium-omat-0",
        url=f"{_MP}/mace_omat_0/mace-omat-0-medium.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-OMAT-0, OMat24; 128 channels, L = 1; density-normalised, ZBL repulsion, Agnesi transform",
    ),
    Published(
        key="matpes-pbe-0",
        url=f"{_FOUNDATIONS}/mace_matpes_0/MACE-matpes-pbe-omat-ft.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory="PBE",
        r_max=6.0,
        summary="MACE-MATPES-PBE-0: OMAT-0 tuned to MatPES-PBE, without +U",
        aliases=("mace-matpes-pbe-0",),
    ),
    Published(
        key="matpes-r2scan-0",
        url=f"{_FOUNDATIONS}/mace_matpes_0/MACE-matpes-r2scan-omat-ft.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory="r2SCAN",
        r_max=6.0,
        summary="MACE-MATPES-r2SCAN-0: OMAT-0 tuned to MatPES-r2SCAN",
        aliases=("mace-matpes-r2scan-0",),
    ),
)
"""All models that refine knows by name."""


def published(name: str) -> Published:
    """The model of a name: key, alias, or the name of its file; upper and lower case are one.

    Raises:
        InputError: there is no such model.

    >>> published("medium-mpa-0").key
    'medium-mpa-0'
    """
    wanted = name.strip().lower()
    for entry in CATALOGUE:
        if wanted in (known.lower() for known in entry.names):
            return entry
    near = difflib.get_close_matches(wanted, [known for entry in CATALOGUE for known in (entry.key, *entry.aliases)], 3)
    fix = f"did you mean {' or '.join(near)}?" if near else "`refine models list` shows all"
    raise InputError(f"no published model is called {name!r}", fix=fix)


def by_sha256(sha256: str) -> Published | None:
    """The model whose file has this sha256 (hex), if it is one that is known."""
    return next((entry for entry in CATALOGUE if entry.sha256 is not None and entry.sha256 == sha256.lower()), None)


def locate(entry: Published) -> Path | None:
    """The file of a model on this machine, told by name and size only; None where there is none."""
    for path, original in _candidates(entry):
        if not os.path.isfile(path):  # unlike Path.is_file, False where a folder may not be entered
            continue
        if not original or entry.bytes is None or path.stat().st_size == entry.bytes:
            return path
    return None


def find(name: str) -> Path:
    """The file of a published model on this machine: in the folder REFINE_MODELS, or in the cache.

    Raises:
        InputError: no such model; its file is not here (the line says what to download where); it is not the published
            one. Of a converted (.safetensors) file the latter is not looked at: compare `Checkpoint.sha256`.
    """
    entry = published(name)
    for path, original in _candidates(entry):
        if os.path.isfile(path):
            if original:
                _check(path, entry)
            return path
    fix = f"run `{_again(entry)}`, or {_by_hand(entry, _home(None))}"
    raise InputError(f"{entry.key} is not on this machine", fix=fix)


def resolve(name: str) -> Path:
    """The file that a word of the user means: a path, or else the name of a published model (`find`).

    Raises:
        InputError: neither; or as `find`.
    """
    if os.path.isfile(name):
        return Path(name)
    try:
        published(name)
    except InputError as error:
        raise InputError("no such file, and no published model", where=name, fix=error.fix) from None
    return find(name)


def fetch(
    name: str,
    url: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    *,
    accept_licence: bool = False,
) -> Path:
    """Bring a published model to this machine, unless it is here, and return its file, verified.

    A model whose checksum nobody has published is verified by reading it only, and the progress says so.

    Args:
        name: see `published`.
        url: of the file, in the place of the published one and of the mirror REFINE_MODELS.
        folder: where to put it; the folder REFINE_MODELS where that may be written to, else the cache, when None.
        progress: receives the licence, what comes, and what it is.
        accept_licence: the user agrees to a licence that restricts the use.

    Raises:
        InputError: no such model, licence not accepted, or see `download`.
    """
    from refine.potentials.mace import download

    progress = progress or NullProgress()
    entry = published(name)
    if entry.licence in MUST_BE_ACCEPTED and not accept_licence:
        what = f"{entry.key} is under the {LICENCES[entry.licence]}"
        raise InputError(what, fix="read it, and if you agree fetch with --accept-licence")
    progress.message(f"{entry.key}: {LICENCES[entry.licence]}")
    setting = models_setting()
    home = _home(folder)
    for place in _folders() if folder is None else ():
        if download.is_whole(place / entry.filename, entry.bytes, entry.sha256):
            home = place  # where nothing needs to be written
            break
    destination = home / entry.filename
    if os.path.isfile(destination) and not download.is_whole(destination, entry.bytes, entry.sha256):
        progress.message(f"{destination} is not the published file and is fetched anew")
    if url is not None:
        urls = [url]
    elif isinstance(setting, str):
        urls = [f"{setting}/{entry.tail}", f"{setting}/{entry.filename}"]
    else:
        urls = [entry.url]
    sha256 = download.download(
        urls,
        destination,
        size=entry.bytes,
        sha256=entry.sha256,
        progress=progress,
        otherwise=f"without a network, {_by_hand(entry, home)}",
        accept=None if entry.sha256 is not None else _reads,
    )
    if entry.sha256 is None:
        progress.message(f"the publisher's checksum is not known; got sha256 {sha256}")
    return destination


def _reads(path: Path) -> object:
    """Read a torch checkpoint, which refuses what is none."""
    from refine.potentials.mace.reader import read_torch

    return read_torch(path)


def _candidates(entry: Published) -> Iterator[tuple[Path, bool]]:
    """Where the file may lie, best first, and whether it is then the published one byte by byte."""
    for folder in _folders():
        yield folder / entry.filename, True
        yield folder / f"{entry.key}.model", True
        yield folder / f"{entry.key}.safetensors", False


def _folders() -> tuple[Path, ...]:
    setting = models_setting()
    return (setting, cache_folder()) if isinstance(setting, Path) else (cache_folder(),)


def _home(folder: Path | None) -> Path:
    """Where a model is put."""
    if folder is not None:
        return folder
    return next((place for place in _folders() if os.access(place, os.W_OK)), cache_folder())


def _check(path: Path, entry: Published) -> None:
    from refine.potentials.mace.download import digest

    try:
        size = path.stat().st_size
        if entry.bytes is not None and size != entry.bytes:
            what = f"has {size} bytes, the published {entry.key} {entry.bytes}"
        elif entry.sha256 is not None and (found := digest(path)) != entry.sha256:
            what = f"has the sha256 {found}, the published {entry.key} {entry.sha256}"
        else:
            return
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
    fix = f"run `{_again(entry)}` to get it, or give this file by its path if it is another model"
    raise InputError(what, where=str(path), fix=fix)


def _again(entry: Published) -> str:
    flag = " --accept-licence" if entry.licence in MUST_BE_ACCEPTED else ""
    return f"refine models fetch {entry.key}{flag}"


def _by_hand(entry: Published, folder: Path) -> str:
    return f"download {entry.url} ({entry.size}) to {folder / entry.filename}"
