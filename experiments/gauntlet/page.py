"""The page of the gauntlet: what came of every row, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gauntlet.rows import Row

HEAD = """# The gauntlet

Systems that a new user may come with, each refined from a study that states only what a user must: composition,
temperature, density, data, model, and for a glass how it is made. Studies, and what is hidden in synthetic data, are in
`experiments/gauntlet`; its [README](../experiments/gauntlet/README.md) says what the rows are. Written by

    make gauntlet          # or: python experiments/gauntlet/run.py --only argon --page docs/gauntlet.md

"""

WORDS = """
R_χ before → after. *Covered*: of synthetic data, the share of the hidden φ(r) within the 68 and 95 % bands; of a second
start, of the difference between the two potentials. Steps are all of the dynamics, making a glass included. A curve is
called worse if its R_χ rose by more than twice its sampling error.
"""


def page(rows: Mapping[str, Row], found: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows that were run, those that could not be, and keys that were stated beyond what a user must."""
    done = {name: one for name, one in found.items() if "failed" not in one}
    table = ["| row | atoms | how it ended | updates | MD steps | fitted | not fitted | pressure (GPa) | covered |"]
    table += ["| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    table += [_line(name, one) for name, one in done.items()]
    failed = {name: found.get(name, {}).get("failed", "not run yet") for name in rows if name not in done}
    table += [f"| {name} | | {words} |{' |' * 6}" for name, words in failed.items()]
    worse = [f"{name} ({', '.join(one['worse'])})" for name, one in done.items() if one["worse"]]
    verdict = "No curve of a row that was run ended worse than it began."
    if worse:
        verdict = f"Worse than at the start: {'; '.join(worse)}."
    said = [f"- {name}: {one['message']}" for name, one in done.items()]
    parts = [HEAD, _machine(done), "\n".join(table), WORDS, verdict, "\n".join(said), "\n".join(_beyond(rows))]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _line(name: str, one: Mapping[str, Any]) -> str:
    curves = {role: _curves(one, role) for role in ("fit", "score")}
    before, before_error, after, after_error = one["pressure"]
    back = f", {one['taken_back']} taken back" if one["taken_back"] else ""
    cells = (
        name,
        str(one["atoms"]),
        one["status"].replace("iterations-exhausted", "at its limit").replace("-", " "),
        f"{one['samples'] - 1}{back}",
        f"{one['md_steps']:,}",
        curves["fit"],
        curves["score"],
        f"{before:.3f} ± {before_error:.3f} → {after:.3f} ± {after_error:.3f}" if after is not None else "not known",
        _covered(one["covered"]),
    )
    return f"| {' | '.join(cells)} |"


def _curves(one: Mapping[str, Any], role: str) -> str:
    return ", ".join(
        f"{name} {before:.3f} → {after:.3f}"
        for name, (its, before, after, _) in one["r_chi"].items()
        if its == role and before is not None and after is not None
    )


def _covered(covered: Any) -> str:
    if covered is None:
        return "no bands: not confirmed"
    if isinstance(covered, str):
        return "" if covered == "not asked" else covered
    return f"{covered['68']:.0%}, {covered['95']:.0%}"


def _machine(done: Mapping[str, Mapping[str, Any]]) -> str:
    if not done:
        return "Nothing has been run."
    dates = sorted(one["date"] for one in done.values())
    cores = max(one["cores"] for one in done.values())
    load = max(one["load"] for one in done.values())
    seconds = sum(one["seconds"] for one in done.values())
    small = " With the small budget, whose numbers mean nothing." if any(one["small"] for one in done.values()) else ""
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    busy = f", with other work on them (load up to {load:.0f})" if load > cores else ""
    return f"On {cores} cores without an accelerator{busy}, {when}: {seconds / 60:.0f} minutes in all.{small}"


def _beyond(rows: Mapping[str, Row]) -> list[str]:
    """Every key that defaults are not good for today, with its reason."""
    lines = ["## Stated beyond what a user must", "", "| rows | key | value | why |", "| --- | --- | --- | --- |"]
    by_key: dict[tuple[str, str, str], list[str]] = {}
    for name, row in rows.items():
        for key, (value, reason) in row.beyond.items():
            by_key.setdefault((key, value, reason), []).append(name)
    return lines + [f"| {', '.join(names)} | `{k}` | {v} | {why} |" for (k, v, why), names in by_key.items()]
