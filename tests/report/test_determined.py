"""What the data determine, whether they agree, coordination numbers and predictions, as the page says them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.report import figures, words, write_report
from refine.results.reader import read_results

HOSTILE = "<img src=x onerror=alert(1)>&\"'</script><script>alert(2)</script>"


def _pair(a: str, b: str, decided: list[list[float]], **extra: Any) -> dict[str, Any]:
    r = np.arange(3.0, 8.0, 0.5)
    share = [1.0 if any(low <= x <= high for low, high in decided) else 0.05 for x in r]
    return {"pair": [a, b], "term": 0, "r": r.tolist(), "share": share, "decided": decided, "at_limit": None, **extra}


def _tension(
    data: str, given: str | None, sigma: float | None, chi2: float = 240.0, together: float | None = None
) -> dict[str, Any]:
    return {"data": data, "given": given, "chi2": chi2, "points": 120, "sigma": sigma, "together": together}


DETERMINATION = {
    "parameters": 96,
    "directions": 21.4,
    "singular_values": [812.0, 40.0, 3.1, 1.2, 0.8, 0.1],
    "data": [
        {"name": "neutron", "points": 120, "alone": 17.6, "adds": 9.21, "nyquist": 20.5},
        {"name": "xray", "points": 110, "alone": 12.2, "adds": 3.8, "nyquist": 31.0},
    ],
    "pairs": [
        _pair("Fe", "Fe", [[3.0, 4.5], [5.0, 6.25]]),
        _pair("Fe", "O", [[3.0, 7.0]], at_limit=[3.25, 4.4]),
        _pair("O", "O", []),
    ],
    "tension": [_tension("neutron", "xray", 7.26, 431.0), _tension("xray", "neutron", -0.4, 105.0)],
    "combinations": [
        {"weights": [0.02, 1.0, -0.41], "directions": 14.2},
        {"weights": [-0.3, 0.42, 1.0], "directions": 6.4},
        {"weights": [1.0, 0.01, 0.004], "directions": 0.8},
    ],
}

COORDINATION = [
    {
        "state": "1900K",
        "centre": "Fe",
        "other": "O",
        "radius": 2.76,
        "initial": 3.981,
        "initial_stderr": 0.012,
        "final": 4.4567,
        "final_stderr": 0.117,
        "posterior_stderr": 0.11,
    },
    {"state": "1900K", "centre": "O", "other": "Fe", "radius": 2.76, "initial": 3.981, "final": None},
]


def _entry(name: str, role: str = "fit", state: str = "1900K", **extra: Any) -> dict[str, Any]:
    return {
        "name": name,
        "quantity": "S(Q)",
        "normalisation": "faber-ziman",
        "radiation": "neutron",
        "role": role,
        "state": state,
        "points": 240,
        "sigma_source": "given",
        "score_r": [1.0, 8.0],
        "warnings": [],
        **extra,
    }


@pytest.fixture
def make_iron(make_run: Any) -> Any:
    """make_iron(**top-level keys of result.json): a run of two curves and three pairs with all new fields."""

    def make(**replace: Any) -> Path:
        given = {
            "data": [_entry("neutron"), _entry("xray")],
            "states": ("1900K",),
            "determination": DETERMINATION,
            "coordination": COORDINATION,
            "species": ("Fe", "O"),
        }
        return make_run(**(given | replace))

    return make


class _Words(HTMLParser):
    """The text of a page outside scripts and styles, its elements, and whether all of them are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "img", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.parts.append(data)

    @property
    def said(self) -> str:
        return " ".join("".join(self.parts).split())


def _page(out: Path) -> _Words:
    page = _Words(write_report(out).read_text(encoding="utf-8"))
    assert page.open == []
    return page


def _warnings(out: Path) -> list[str]:
    return words.warnings(read_results(out))


def test_directions_in_sentences(make_iron: Any) -> None:
    said = words.determined(read_results(make_iron()))
    assert said[:3] == [
        "The data determine 21.4 of the 96 coefficients' directions; 4 singular values of the whitened Jacobian exceed "
        "one.",
        "neutron: 17.6 directions by itself, 9.21 more than all others together; Nyquist's count for its Q range and "
        "the correction's r range is 20.5.",
        "xray: 12.2 directions by itself, 3.80 more than all others together; Nyquist's count for its Q range and "
        "the correction's r range is 31.0.",
    ]


def test_what_is_seen_best_and_least_is_named(make_iron: Any) -> None:
    """Pairs that hardly take part are left out."""
    said = words.determined(read_results(make_iron()))
    assert said[3] == (
        "Of changes of φ in one proportion at every distance the data see Fe–O : O–O = 1.00 : −0.410 best (14.2 "
        "directions), and Fe–Fe alone least (0.800)."
    )


def test_a_run_of_before_combinations_were_stated_says_the_rest(make_iron: Any) -> None:
    older = {key: value for key, value in DETERMINATION.items() if key != "combinations"}
    assert "proportion" not in " ".join(words.determined(read_results(make_iron(determination=older))))


def test_ranges_that_the_data_decide_and_a_pair_they_cannot_see(make_iron: Any) -> None:
    said = words.determined(read_results(make_iron()))
    assert said[4:] == [
        "Fe–Fe: the data decide over 3.0–4.5 and 5.0–6.2 Å, the prior elsewhere.",
        "Fe–O: the data decide over 3.0–7.0 Å, the prior elsewhere.",
        "O–O: the data cannot see this pair; its correction is the prior's.",
    ]


def test_a_pair_that_is_seen_in_combinations_only_is_not_called_unseen(make_iron: Any) -> None:
    """Directions are determined although no φ(r) by itself is: both sentences can be true, "cannot see" cannot."""
    pair = _pair("Fe", "Fe", []) | {"share": [0.05, 0.42, 0.3]}
    said = words.determined(read_results(make_iron(determination=DETERMINATION | {"pairs": [pair]})))
    assert said[-1].startswith("Fe–Fe: nowhere do the data decide more than 42%")


def test_a_single_data_set_adds_nothing_to_others(make_iron: Any) -> None:
    alone = DETERMINATION | {"data": DETERMINATION["data"][:1], "tension": []}
    out = make_iron(determination=alone)
    said = " ".join(words.determined(read_results(out)))
    assert "neutron: 17.6 directions by itself; Nyquist's count" in said
    assert "all others" not in said
    assert "Do the data sets agree?" not in _page(out).said


def test_all_of_it_is_on_the_page(make_iron: Any) -> None:
    out = make_iron()
    page = _page(out)
    for sentence in words.determined(read_results(out)):
        assert sentence in page.said
    assert "What the data determine" in page.said
    assert ("section", "determined") in {(tag, attributes.get("id")) for tag, attributes in page.tags}


def test_a_change_with_temperature_is_named(make_iron: Any) -> None:
    pairs = [_pair("Fe", "Fe", [[3.0, 4.5]]), _pair("Fe", "Fe", [], term=1)]
    said = words.determined(read_results(make_iron(determination=DETERMINATION | {"pairs": pairs})))
    assert said[-1].startswith("Fe–Fe, change with temperature: the data cannot see this pair")


def test_contradicting_data_sets_are_a_warning_with_their_sigma(make_iron: Any) -> None:
    out = make_iron()
    assert _warnings(out) == [
        "neutron contradicts xray: predicted from there it is off by 7.3 σ (χ² 431 on 120 points).",
        "Fe–O: φ at 3.25 Å is 4.4 prior standard deviations from zero; the prior holds it back, so the base model or "
        "the data may be wrong there.",
    ]
    said = _page(out).said
    assert "2 warningsneutron contradicts xray: predicted from there it is off by 7.3 σ" in said
    assert said.index("neutron contradicts xray") < said.index("The data determine 21.4")


@pytest.mark.parametrize(
    ("sigma", "together", "warned"),
    [
        (2.9, None, False),
        (3.1, None, True),
        (-8.0, None, False),
        (None, None, False),
        (3.1, 3.1, True),
        (3.1, 2.9, False),
    ],
)
def test_agreement_is_no_warning(make_iron: Any, sigma: float | None, together: float | None, warned: bool) -> None:
    """Only a chi^2 that is too large: data that agree better than their errors contradict nobody, and neither do those
    that one correction describes."""
    tension = [_tension("neutron", None, sigma, together=together)]
    found = words.contradictions(
        read_results(make_iron(determination=DETERMINATION | {"tension": tension, "pairs": []})).summary
    )
    assert bool(found) == warned
    if warned:
        assert found == [
            "neutron contradicts all other data sets together: predicted from there it is off by 3.1 σ "
            "(χ² 240 on 120 points)."
        ]


def test_the_table_of_agreement_has_a_place_for_every_two(make_iron: Any) -> None:
    tension = [
        *DETERMINATION["tension"],
        _tension("neutron", None, 6.54),
        _tension("xray", None, None),
    ]
    text = write_report(make_iron(determination=DETERMINATION | {"tension": tension})).read_text(encoding="utf-8")
    table = text[text.index("Do the data sets agree?") :]
    table = table[: table.index("</table>")]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in table.split("<tr>")[1:]]
    assert rows == [
        ["data", "neutron", "xray", "all others"],
        ["neutron", "–", "+7.3", "+6.5"],
        ["xray", "−0.4", "–", "–"],
    ]


def test_shares_are_drawn_one_line_a_pair(make_iron: Any) -> None:
    out = make_iron()
    figure = figures.shares(read_results(out))
    assert figure is not None
    assert [trace["name"] for trace in figure.spec["data"]] == ["Fe–Fe", "Fe–O", "O–O"]
    assert figure.id in write_report(out).read_text(encoding="utf-8")


def test_coordination_numbers_are_rounded_to_their_errors(make_iron: Any) -> None:
    text = write_report(make_iron()).read_text(encoding="utf-8")
    table = text[text.index("<h3>Coordination numbers</h3>") :]
    table = table[: table.index("</table>")]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in table.split("<tr>")[2:]]
    assert rows == [
        ["Fe–O", "1900K", "2.76", "3.981 ± 0.012", "4.46 ± 0.12"],
        ["O–Fe", "1900K", "2.76", "3.98", "–"],
    ]


def test_a_state_without_fitted_data_is_predicted(make_run: Any) -> None:
    """A curve that is only scored is "only scored" next to a fitted one, and "predicted" in a state of its own."""
    data = [
        _entry("fitted", state="85K"),
        _entry("scored", "score", "85K", quantity="g(r)"),
        _entry("unseen", "score", "95K"),
    ]
    out = make_run(data=data, states=("85K", "95K"))
    results = read_results(out)
    assert [words.role(one, results) for one in results.summary.data] == ["fitted", "only scored", "predicted"]
    text = write_report(out).read_text(encoding="utf-8")
    row = next(row for row in text.split("<tr>") if '<th scope="row">unseen</th>' in row)
    assert "predicted" in row


def test_a_method_without_a_potential_says_so(make_iron: Any) -> None:
    sentence = "The method moves atoms to fit the data; no potential comes out, only structures."
    out = make_iron(yields_potential=False, determination=None)
    assert _warnings(out) == [sentence]
    assert sentence in _page(out).said


def test_notes_of_the_run_are_warnings(make_iron: Any) -> None:
    out = make_iron(determination=None, notes=["the box is small for " + HOSTILE])
    assert _warnings(out) == ["the box is small for " + HOSTILE]
    assert "the box is small for " + HOSTILE in "".join(_page(out).parts)


def test_what_was_not_confirmed_is_left_out_and_why(make_iron: Any) -> None:
    """It is no fault of the method."""
    said = _page(make_iron(determination=None, confirmed=False)).said
    assert "it rests on a linear response that the final sample did not confirm" in said
    assert "This method does not say" not in said


def test_of_the_base_model_nothing_is_determined(make_iron: Any) -> None:
    said = _page(make_iron(determination=None, status="not-improved")).said
    assert "The answer is the base model itself, without a correction" in said
    assert "This method does not say" not in said


def test_a_method_that_does_not_know_says_so(make_iron: Any) -> None:
    out = make_iron(determination=None, coordination=[])
    said = _page(out).said
    assert "This method does not say what the data determine." in said
    assert "Coordination numbers" not in said
    assert figures.shares(read_results(out)) is None


def test_hostile_names_stay_text(make_run: Any) -> None:
    """Names of files are checked; these fields are free text from result.json."""
    determination = {
        "parameters": 4,
        "directions": 1.0,
        "singular_values": [2.0],
        "data": [{"name": HOSTILE, "alone": 1.0, "adds": 1.0}, {"name": "b"}],
        "pairs": [_pair(HOSTILE, "O", [[3.0, 4.0]]), _pair("O", HOSTILE, [], at_limit=[3.0, 9.0])],
        "tension": [_tension(HOSTILE, "b", 5.0), _tension("b", HOSTILE, 6.0), _tension("b", None, 7.0)],
    }
    row = {"state": HOSTILE, "centre": HOSTILE, "other": HOSTILE, "radius": 3.0, "final": 4.0, "final_stderr": 0.1}
    page = _page(make_run(determination=determination, coordination=[row], notes=[HOSTILE]))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 3  # data of the figures, plotly, and the script that draws
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "".join(page.parts).count("</script><script>alert(2)</script>") >= 8


@pytest.mark.parametrize(
    "determination",
    [
        {},
        {"directions": None, "parameters": None},
        {"data": [{"name": "a"}], "pairs": [{"pair": ["Fe", "O"], "r": [], "share": []}]},
        {"pairs": [{"pair": ["Fe", "O"], "r": [3.0, 3.1], "share": [None, 0.2], "decided": []}]},
        {"tension": [{"data": "a"}, {"data": "a", "given": "b", "sigma": 9.0}]},
        {"singular_values": [], "data": [{"name": "a", "alone": float("nan"), "adds": float("inf")}]},
        {"unknown key": 1, "parameters": 3},
    ],
)
def test_missing_numbers_are_dashes(make_run: Any, determination: dict[str, Any]) -> None:
    """Whatever is absent or not finite, the page is made and no sentence names a Python value."""
    out = make_run(determination=determination)
    results = read_results(out)
    sentences = words.determined(results) + words.contradictions(results.summary)
    said = _page(out).said
    for sentence in sentences:
        assert " ".join(sentence.split()) in said
        assert not re.search(r"\b(nan|inf|None)\b", sentence)


@pytest.mark.parametrize(
    "coordination",
    [[], [{"state": "85K", "centre": "Ar", "other": "Ar", "radius": 5.0}]],
)
def test_missing_coordination_is_harmless(make_run: Any, coordination: list[dict[str, Any]]) -> None:
    said = _page(make_run(coordination=coordination)).said
    assert ("Coordination numbers" in said) == bool(coordination)


@pytest.mark.parametrize(
    "broken",
    [
        {"determination": {"pairs": [{"pair": ["Fe"]}]}},
        {"determination": {"singular_values": ["x"]}},
        {"coordination": [{"state": "85K"}]},
        {"notes": "one"},
    ],
)
def test_a_damaged_table_is_named_in_one_line(make_run: Any, broken: dict[str, Any]) -> None:
    out = make_run(**broken)
    with pytest.raises(InputError, match=next(iter(broken))) as caught:
        write_report(out)
    assert "\n" not in str(caught.value)


def test_old_results_without_the_new_fields_are_still_shown(make_run: Any) -> None:
    out = make_run()
    result = json.loads((out / "result.json").read_text())
    assert not {"determination", "coordination", "notes", "yields_potential"} & set(result)
    said = _page(out).said
    assert "This method does not say what the data determine." in said
    assert "no potential comes out" not in said
