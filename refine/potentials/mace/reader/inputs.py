"""Inputs of the whole box, such as its charge, that models add to the features of every atom."""

from __future__ import annotations

from refine.potentials.mace.architecture import INPUTS, BoxInput
from refine.potentials.mace.reader.modules import Module, mapping, say
from refine.potentials.mace.reader.reading import Reading
from refine.potentials.mace.reader.refusals import unsupported

_FIX = "total_charge and total_spin of a box, as categories, are supported"


def read_inputs(model: Reading) -> tuple[BoxInput, ...]:
    """Whole numbers of the box in the order in which their vectors are joined; none where the model has none."""
    root = model.root
    if root.get("joint_embedding", None) is None:
        if root.get("embedding_specs", None):
            raise root.error("has embeddings of further inputs in its settings only")
        return ()
    joint = model.expect(root.child("joint_embedding"), "mace", "GenericJointEmbedding")
    specs, embedders = mapping(joint.get("specs")), joint.child("embedders")
    if not specs or list(mapping(root.get("embedding_specs"))) != list(specs):
        raise joint.error("has other inputs than the model")
    found = []
    for k, (name, given) in enumerate(specs.items()):
        spec = mapping(given)
        kind, per, offset = spec.get("type"), spec.get("per"), spec.get("offset", 0)
        if name not in INPUTS or kind != "categorical" or per != "graph":
            raise unsupported(root, f"a model with the further input {name[:60]!r} ({say(kind)}, {say(per)})", _FIX)
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise joint.error(f"has {say(offset)} for the offset of {name!r}")
        model.put(f"inputs.{k}", model.expect(embedders.child(name), "torch", "Embedding").array("weight"))
        found.append(BoxInput(name, offset))
    linear, silu = _pair(joint)
    model.expect(silu, "torch", "SiLU")
    if model.expect(linear, "torch", "Linear").get("bias", None) is not None:
        raise unsupported(root, f"a model with biases ({linear.path})")
    model.put("project", linear.array("weight").T.copy())
    return tuple(found)


def _pair(joint: Module) -> tuple[Module, Module]:
    parts = joint.children("project")
    if len(parts) != 2:
        raise joint.error(f"has {len(parts)} parts in its projection")
    return parts[0], parts[1]
