"""What of mace-torch is not evaluated, refused by name: a model evaluated almost right would be worse than none."""

from __future__ import annotations

from refine.errors import InputError
from refine.potentials.mace.reader.modules import Module, TorchFile, mapping, say
from refine.potentials.mace.reader.pickles import Object

MODELS = ("mace.modules.models.MACE", "mace.modules.models.ScaleShiftMACE")
PARTS = {
    "node_embedding",
    "radial_embedding",
    "pair_repulsion_fn",
    "spherical_harmonics",
    "atomic_energies_fn",
    "interactions",
    "products",
    "readouts",
    "scale_shift",
    "joint_embedding",
}

FROM_CUEQ = "convert it: mace_cueq_to_e3nn FILE --return_model, of mace-torch, which writes nothing without that option"
"""mace-torch 0.3.16; the new file is FILE.e3nn_model.pt, the ending of FILE taken off."""


def unsupported(root: Module, what: str, fix: str | None = None) -> InputError:
    """The error for a feature `what` that is not evaluated."""
    return InputError(f"{what}, which refine does not evaluate", where=root.file.where, fix=fix)


def root_of(file: TorchFile) -> Module:
    """The model's module, where it is one of those that are evaluated."""
    tree = file.tree
    whole = "save the whole model: torch.save(model, path)"
    if not isinstance(tree, Object) or mapping(tree):
        if mapping(tree):
            what = "a state_dict or training state: weights without the model they belong to"
            raise InputError(what, where=file.where, fix=whole)
        raise InputError(f"the file holds {say(tree)} instead of a model", where=file.where, fix=whole)
    root, kind = Module(file, tree, ""), str(tree.kind)
    name = root.kind
    if kind in MODELS:
        _refuse_features(root)
        return root
    if "LAMMPS" in name:
        raise unsupported(root, f"a model wrapped for LAMMPS ({name})", "give the original .model")
    if root.package != "mace":
        raise InputError(f"the file holds a {kind} instead of a model of mace-torch", where=file.where, fix=whole)
    for word, feature in (
        ("Dipole", "dipoles"),
        ("Dielectric", "dipoles and polarisabilities"),
        ("Polar", "long-range electrostatics"),
        ("Magnetic", "magnetic moments"),
        ("LES", "long-range electrostatics (LES)"),
        ("Field", "external fields"),
    ):
        if word in name:
            raise unsupported(root, f"a model with {feature} ({name})")
    raise unsupported(root, f"a model of the class {name}", "MACE and ScaleShiftMACE are")


def _refuse_features(root: Module) -> None:
    if root.flag("use_so3", False):
        raise unsupported(root, "a model without parity (use_so3)")
    if extra := sorted(set(root.parts) - PARTS):
        raise unsupported(root, f"a model with the extra part {extra[0]!r}")
    for layer in (*root.children("interactions"), *root.children("products")):
        _refuse_accelerators(root, layer, 0)


def _refuse_accelerators(root: Module, module: Module, depth: int) -> None:
    """Layers and layouts of cuEquivariance and OpenEquivariance, whose weights lie otherwise."""
    if module.package.startswith("cuequivariance"):
        raise unsupported(root, f"a model saved for cuEquivariance ({module.path})", FROM_CUEQ)
    if module.package == "openequivariance":
        raise unsupported(root, f"a model saved for OpenEquivariance ({module.path})", "convert it to e3nn first")
    for key, name in (("cueq_config", "cuEquivariance"), ("oeq_config", "OpenEquivariance")):
        config = module.get(key, None)
        state = config.state if isinstance(config, Object) else config
        if config is not None and (
            not isinstance(state, dict) or state.get("enabled") or state.get("layout_str", "mul_ir") != "mul_ir"
        ):
            fix = FROM_CUEQ if key == "cueq_config" else "convert it to e3nn first"
            raise unsupported(root, f"a model saved for {name} ({module.path}.{key})", fix)
    if depth < 2:
        for part in module.parts:
            if isinstance(module.get(part), Object):
                _refuse_accelerators(root, module.child(part), depth + 1)
