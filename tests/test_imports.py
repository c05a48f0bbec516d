"""Who may import whom, and how little the commands load before they need it."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from refine.cli.main import COMMANDS

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

FLOORS = (
    (
        *("kernels", "refine.errors", "refine.units", "refine.files", "refine.formula", "refine.sites"),
        *("refine.progress", "refine.threads", "refine.tables"),
    ),
    ("refine.compiled",),
    ("refine.system",),
    ("refine.curves", "refine.potentials"),
    ("refine.scattering", "refine.sampling"),
    ("refine.learning",),
    ("refine.refinement",),
    ("refine.study",),
    ("refine.results",),
    ("refine.campaign",),
    ("refine.report", "refine.export"),
    ("refine.tasks",),
    ("refine.cli",),
    ("refine",),
)
"""The rooms of the house, from the ground up (docs/architecture.md): a room imports those below its floor, and itself.
Rooms of one floor do not know each other, but for the ground's."""

ROOF = ("refine.api", "refine.__main__")
"""What stands with `refine` itself above all rooms."""


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


def _room(module: str) -> str:
    """The room that a module is in: ``kernels``, or ``refine`` and its first name; ``refine`` itself is the roof."""
    words = module.split(".")
    if words[0] == "kernels":
        return "kernels"
    room = ".".join(words[:2])
    return room if room in MODULES and room not in ROOF else "refine"


FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def _rooms_imported(name: str) -> set[str]:
    ours = {module for module in _imports(name) if module.split(".")[0] in ("refine", "kernels")}
    return {_room(module) for module in ours - {"refine", "refine.__version__"}} - {_room(name)}


@pytest.mark.parametrize("name", MODULES)
def test_a_room_knows_those_below_it(name: str) -> None:
    floor = FLOOR[_room(name)]
    allowed = {room for room, other in FLOOR.items() if other < floor or floor == other == 0}
    if _room(name) == "kernels":
        allowed = set()
    assert _rooms_imported(name) <= allowed


LONGEST = 450
"""Lines of a module; a longer one says at its top why ("Long: ...")."""


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_one_job(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST or "Long: " in (ast.get_docstring(ast.parse(text)) or "")


@pytest.mark.parametrize("name", MODULES)
def test_no_private_name_crosses_a_module(name: str) -> None:
    words = {module.rpartition(".")[2] for module in _imports(name) if module.split(".")[0] in ("refine", "kernels")}
    assert not {word for word in words if word.startswith("_") and not word.startswith("__")}


def test_every_room_has_a_floor() -> None:
    assert {_room(name) for name in MODULES} == set(FLOOR)


def test_no_circle_of_imports() -> None:
    """Nor one that imports inside functions hide. A name of a package that is a module of it stands for that module."""
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        imported = {module for module in _imports(name) if module in MODULES} - {name}
        graph[name] = {m for m in imported if not any(other.startswith(f"{m}.") for other in imported)}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError with the circle


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("kernels")])
def test_kernels_know_jax_and_numpy_only(name: str) -> None:
    outside = {module.split(".")[0] for module in _imports(name)} - set(sys.stdlib_module_names)
    assert outside <= {"kernels", "jax", "numpy"}


@pytest.mark.parametrize("name", MODULES)
def test_jax_md_is_a_reference_for_tests_only(name: str) -> None:
    assert "jax_md" not in {module.split(".")[0] for module in _imports(name)}


DIFFERENTIATING = (
    "refine.refinement.rules.difftre",
    "refine.refinement.rules.backprop",
    "refine.refinement.optimisers",
)
"""Rules that step with an optimiser of optax."""


@pytest.mark.parametrize("room", ["refine.curves", "refine.scattering", "refine.refinement", "refine.report"])
def test_analysis_is_numpy(room: str) -> None:
    for name in MODULES:
        if _room(name) == room and name not in DIFFERENTIATING:
            assert "jax" not in {module.split(".")[0] for module in _imports(name)}, name


def _loaded_by(code: str) -> set[str]:
    """Slow packages that are loaded after a program ran in a process of its own."""
    ask = f"import sys\n{code}\nprint('LOADED', *[name for name in {SLOW} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return set(output.rpartition("LOADED")[2].split())


RUN = """
from refine.cli.main import app
try:
    app("{0}".split())
except SystemExit as exit:
    assert exit.code == 0
"""

QUICK = (
    "--help",
    *(f"{command.replace('_', '-')} --help" for command in COMMANDS),
    "models --help",
    "models list",
    "models list --json",
    *(f"models {command} --help" for command in ("inspect", "fetch", "convert", "check")),
)
"""Commands that answer at once."""


@pytest.mark.parametrize(
    "code",
    ["import refine", "import refine.study.schema", *(RUN.format(words) for words in QUICK)],
    ids=["import", "config", *QUICK],
)
def test_nothing_slow_is_loaded_before_it_is_needed(code: str) -> None:
    assert _loaded_by(code) == set()


@pytest.mark.parametrize("study", sorted(path.parent.name for path in ROOT.glob("experiments/*/study.toml")))
def test_a_study_is_read_without_jax(study: str) -> None:
    code = f"from refine.study.schema import StudyConfig; StudyConfig.from_toml('experiments/{study}/study.toml')"
    assert "jax" not in _loaded_by(code)


@pytest.mark.parametrize("name", ["Study", "Curve", "read_curve", "convert"])
def test_lazy_names(name: str) -> None:
    import refine

    assert getattr(refine, name).__module__.startswith("refine.")
    assert name in dir(refine)


def test_unknown_name() -> None:
    import refine

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = refine.Nothing
