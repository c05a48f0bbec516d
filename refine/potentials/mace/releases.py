"""The published MACE models: what they are.

Sizes and sha256 are of the release pages of ACEsuit/mace-mp; addresses of ACEsuit's mace-mp, mace-foundations, mace-off
and mace (0.3.15); cutoffs and elements of the training scripts and statistics in these repositories; heads of MH-1 as
in its file. What the authors do not say is None here. Without `elements` a model is of 89: H to Bi and Ac to Pu.
Sources: I. Batatia et al., arXiv:2401.00096 (2023) and arXiv:2510.25380 (2025); D. P. Kovács et al., arXiv:2312.15211
(2023) and J. Chem. Phys. 159, 044118 (2023).
"""

from __future__ import annotations

from dataclasses import dataclass

LICENCES = {
    "MIT": "MIT License: free for any use",
    "ASL": "Academic Software License, https://github.com/gabor1/ASL: for non-commercial academic use only",
}
"""What a licence says, in one line."""

MUST_BE_ACCEPTED = frozenset({"ASL"})
"""Licences that restrict the use."""

BY_HEAD = "by head"
"""The theory of a model whose heads differ in it."""


@dataclass(frozen=True)
class Published:
    """A model that its authors have published.

    Attributes:
        key: its name here, which is mostly that of mace-torch.
        url: of the file, on the release page.
        bytes, sha256: of the file; None where nobody has said.
        licence: key of `LICENCES`.
        theory: level of theory of the training data.
        r_max: cutoff, Å; None where the authors have not said.
        summary: training data and architecture, in one line.
        aliases: other names.
        elements: their number.
        heads: name and level of theory of each, where there are several.
    """

    key: str
    url: str
    bytes: int | None
    sha256: str | None
    licence: str
    theory: str
    r_max: float | None
    summary: str
    aliases: tuple[str, ...] = ()
    elements: int = 89
    heads: tuple[tuple[str, str], ...] = ()

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

    def theory_of(self, head: str | None) -> str | None:
        """Level of theory of a head, or of the model where it has one; None where it is not known."""
        return dict(self.heads).get(head or "", None if self.heads or self.theory == BY_HEAD else self.theory)

    @property
    def size(self) -> str:
        """Size in words."""
        return "size not known" if self.bytes is None else f"{self.bytes / 1e6:.1f} MB"


_MP = "https://github.com/ACEsuit/mace-mp/releases/download"
_FOUNDATIONS = "https://github.com/ACEsuit/mace-foundations/releases/download"
_OFF = "https://github.com/ACEsuit/mace-off/raw/main"
_SPICE = "wB97M-D3(BJ)"

REFUSED = {
    "polar-1": "long-range electrostatics (POLAR)",
    "mdp": "dipoles and polarisabilities (MDP)",
    "magnetic": "magnetic moments (Magnetic)",
}
"""Published models that refine does not evaluate: how their names begin, and why."""

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
        key="large-0a",
        url=f"{_MP}/mace_mp_0/2024-01-07-mace-128-L2_epoch-199.model",
        bytes=None,
        sha256=None,
        licence="MIT",
        theory="PBE+U",
        r_max=6.0,
        summary="MACE-MP-0a, MPTrj; 128 channels, L = 2; the large one of the release notes",
        aliases=("mace-mp-0a-large",),
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
    Published(
        key="mh-0",
        url=f"{_FOUNDATIONS}/mace_mh_1/mace-mh-0.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory=BY_HEAD,
        r_max=6.0,
        summary="MACE-MH-0: OMat24, OMol25, OC20 and MatPES, a head each; `refine models inspect` names them",
        aliases=("mace-mh-0",),
    ),
    Published(
        key="mh-1",
        url=f"{_FOUNDATIONS}/mace_mh_1/mace-mh-1.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory=BY_HEAD,
        r_max=6.0,
        summary="MACE-MH-1: crystals, molecules and surfaces; 512 channels, L = 1; non-linear, ZBL, Agnesi; six heads",
        aliases=("mace-mh-1",),
        heads=(
            ("omat_pbe", "PBE+U"),
            ("matpes_r2scan", "r2SCAN"),
            ("mp_pbe_refit_add", "PBE+U"),
            ("spice_wB97M", _SPICE),
            ("omol", "wB97M-V"),
            ("oc20_usemppbe", "PBE"),
        ),
    ),
    Published(
        key="omol-0",
        url=f"{_FOUNDATIONS}/mace_omol_0/MACE-omol-0-extra-large-1024.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory="wB97M-V",
        r_max=6.0,
        summary="MACE-OMOL-0, OMol25: molecules with charge and spin; 1024 channels, L = 2; non-linear",
        aliases=("mace-omol-0", "extra_large"),
        elements=83,
    ),
    Published(
        key="off23-small",
        url=f"{_OFF}/mace_off23/MACE-OFF23_small.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory=_SPICE,
        r_max=None,
        summary="MACE-OFF23(S), SPICE: organic molecules; L = 0",
        elements=10,
    ),
    Published(
        key="off23-medium",
        url=f"{_OFF}/mace_off23/MACE-OFF23_medium.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory=_SPICE,
        r_max=5.0,
        summary="MACE-OFF23(M), SPICE: organic molecules; 128 channels, L = 1",
        elements=10,
    ),
    Published(
        key="off23-large",
        url=f"{_OFF}/mace_off23/MACE-OFF23_large.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory=_SPICE,
        r_max=None,
        summary="MACE-OFF23(L), SPICE: organic molecules; L = 2",
        elements=10,
    ),
    Published(
        key="off24-medium",
        url=f"{_OFF}/mace_off24/MACE-OFF24_medium.model",
        bytes=None,
        sha256=None,
        licence="ASL",
        theory=_SPICE,
        r_max=None,
        summary="MACE-OFF24(M), SPICE: organic molecules",
        elements=10,
    ),
    Published(
        key="ani-cc",
        url="https://github.com/ACEsuit/mace/raw/main/mace/calculators/foundations_models/ani500k_large_CC.model",
        bytes=None,
        sha256=None,
        licence="MIT",
        theory="coupled cluster",
        r_max=None,
        summary="MACE for the coupled-cluster energies of ANI: molecules of H, C, N and O",
        aliases=("anicc", "mace-anicc"),
        elements=4,
    ),
)
"""All models that refine knows by name."""
