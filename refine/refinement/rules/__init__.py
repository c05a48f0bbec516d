"""Update rules behind one signature, a file each; the study file's `method` is looked up here and nowhere else."""

from typing import Any

from refine.tables.choice import Choice

FORMER: dict[str, Any] = {
    "trust_radius": 0.3,
    "pooling": True,
    "damping": 1.0,
    "pressure": None,
    "optimiser": "adam",
    "learning_rate": 0.02,
    "inner_steps": 20,
    "threshold": 0.9,
    "parameters": ["correction"],
    "windows": 32,
    "window_steps": 200,
    "clip": None,
    "feedback": 0.8,
    "confidence": 0.9,
    "cap": 1.0,
    "moves": 5,
    "minimum_distances": {},
}
"""Keys that [refinement] had with every method until each rule got its own table: the study.toml of run folders of then
has them all, and their digests are of them all. It is closed: keys of new rules do not belong here."""

LATER: dict[str, Any] = {"response": "fluctuation"}
"""Keys of rules that came after run folders were written, and what those were run with: at these values a key is left
out of the digest of a study, so that such runs go on."""

RULES = Choice(
    "method",
    {
        "gauss-newton": "refine.refinement.rules.gauss_newton:GaussNewtonKeys",
        "ibi": "refine.refinement.rules.ibi:IBIKeys",
        "difftre": "refine.refinement.rules.difftre:DiffTReKeys",
        "backprop": "refine.refinement.rules.backprop:BackpropKeys",
        "epsr": "refine.refinement.rules.epsr:EPSRKeys",
        "rmc": "refine.refinement.rules.rmc:RMCKeys",
    },
    default="gauss-newton",
    former=FORMER,
)
"""The table of each rule: `Refinement` with its keys; `rule` makes the rule of it."""
