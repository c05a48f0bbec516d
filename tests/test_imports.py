"""Who may import whom, and how little the commands load before they need it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SLOW = (
    "jax",
    "jax_md",
    "jinja2",
    "plotly",
    "pymatgen",
    "ase",
    "xraylib",
    "periodictable",
    "numpy",
    "scipy",
    "pandas",
    "h5py",
)

LAYERS: dict[str, set[str]] = {
    "kernels": set(),
    "refine.errors": set(),
    "refine.units": set(),
    "refine.progress": set(),
    "refine.config": set(),
    "refine.data": set(),
    "refine.scattering": {"kernels", "refine.data"},
    "refine.potentials": {"kernels", "refine.files"},
    "refine.sampling": {"kernels"},
    "refine.refinement": {
        "kernels",
        "refine.config",
        "refine.data",
        "refine.scattering",
        "refine.potentials",
        "refine.sampling",
    },
    "refine.report": {"refine.data", "refine.files"},
}
"""What each part may import of this project, besides itself and the shared vocabulary below."""

VOCABULARY = {"refine", "refine.errors", "refine.units", "refine.progress"}
LEAVES = ("refine.cli", "refine.terminal", "refine.report")


def _modules() -> dict[str, Path]:
    files = [*ROOT.glob("refine/**/*.py"), *ROOT.glob("kernels/**/*.py")]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return dict(zip(names, files, strict=True))


MODULES = _modules()


def _imports(name: str) -> set[str]:
    """Modules that a module imports anywhere, but for those that only the type checker sees."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            found.add(str(node.module))
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
                visit(child)

    visit(tree)
    return found


def _part(module: str) -> str:
    """The part of the project that a module belongs to: ``kernels``, or ``refine`` and its first name."""
    words = module.split(".")
    if words[0] == "kernels":
        return "kernels"
    is_part = len(words) > 1 and (".".join(words[:2]) in MODULES)
    return ".".join(words[:2]) if is_part else "refine"


def _parts_imported(name: str) -> set[str]:
    ours = {module for module in _imports(name) if module.split(".")[0] in ("refine", "kernels")}
    return {_part(module) for module in ours} - {"refine"}


@pytest.mark.parametrize("name", [name for name in MODULES if _part(name) in LAYERS])
def test_arrows_of_the_architecture(name: str) -> None:
    part = _part(name)
    allowed = LAYERS[part] | {part} | (set() if part == "kernels" else VOCABULARY)
    assert _parts_imported(name) <= allowed


@pytest.mark.parametrize("leaf", LEAVES)
def test_leaves_are_imported_by_the_top_only(leaf: str) -> None:
    importers = {_part(name) for name in MODULES if leaf in _parts_imported(name)} - {leaf}
    # refine.compare writes a page of its own, as refine.results does
    assert importers <= {
        "refine.__main__",
        "refine.cli",
        "refine.models_cli",
        "refine.curves_cli",
        "refine.results",
        "refine.compare",
    }


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("kernels")])
def test_kernels_know_jax_and_numpy_only(name: str) -> None:
    outside = {module.split(".")[0] for module in _imports(name)} - set(sys.stdlib_module_names)
    assert outside <= {"kernels", "jax", "numpy"}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("refine.sampling")])
def test_jax_md_is_for_sampling_only(name: str) -> None:
    assert "jax_md" not in {module.split(".")[0] for module in _imports(name)}


DIFFERENTIATING = ("refine.refinement.difftre", "refine.refinement.backprop", "refine.refinement.optimisers")
"""Rules that step with an optimiser of optax."""


@pytest.mark.parametrize("part", ["refine.data", "refine.scattering", "refine.refinement", "refine.report"])
def test_analysis_is_numpy(part: str) -> None:
    for name in MODULES:
        if _part(name) == part and name not in DIFFERENTIATING:
            assert "jax" not in {module.split(".")[0] for module in _imports(name)}, name


def _loaded_by(code: str) -> set[str]:
    """Slow packages that are loaded after a program ran in a process of its own."""
    ask = f"import sys\n{code}\nprint('LOADED', *[name for name in {SLOW} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return set(output.rpartition("LOADED")[2].split())


RUN = """
from refine.cli import app
try:
    app("{0}".split())
except SystemExit as exit:
    assert exit.code == 0
"""

QUICK = (
    "--help",
    "run --help",
    "report --help",
    "export --help",
    "diagnose --help",
    "prepare --help",
    "forward --help",
    "convert --help",
    "sensitivity --help",
    "models --help",
    "models list",
    "models list --json",
    *(f"models {command} --help" for command in ("inspect", "fetch", "convert", "check")),
)
"""Commands that answer at once."""


@pytest.mark.parametrize(
    "code",
    ["import refine", "import refine.config", *(RUN.format(words) for words in QUICK)],
    ids=["import", "config", *QUICK],
)
def test_nothing_slow_is_loaded_before_it_is_needed(code: str) -> None:
    assert _loaded_by(code) == set()


@pytest.mark.parametrize("name", ["Study", "Curve", "read_curve", "convert"])
def test_lazy_names(name: str) -> None:
    import refine

    assert getattr(refine, name).__module__.startswith("refine.")
    assert name in dir(refine)


def test_unknown_name() -> None:
    import refine

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = refine.Nothing
