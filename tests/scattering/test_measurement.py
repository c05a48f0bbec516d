"""The forward model on the absolute scale: ideal gas, dimers, a crystal by direct sum, units and ranges."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import sici

from refine.curves.curve import Curve
from refine.errors import InputError
from refine.scattering.measurement import ForwardModel
from refine.scattering.metrics import chi_squared, r_chi, r_chi_derivative
from refine.system import Box

RHO = 0.02125


def argon_box(n: int = 500, width: float = 0.02, rho: float = RHO) -> Box:
    half = 0.5 * (n / rho) ** (1 / 3)
    return Box(("Ar",), (n,), n / rho, width * np.arange(int(half / width) + 1))


def s_of_q(values=None, q=None, **kwargs) -> Curve:
    q = np.arange(0.03, 11.75, 0.03) if q is None else q
    values = np.ones_like(q) if values is None else values
    defaults = {"number_density": RHO, "composition": {"Ar": 1.0}, "isotopes": {"Ar": 36}, "name": "test"}
    return Curve(x=q, y=values, quantity="S(Q)", **(defaults | kwargs))


def test_ideal_gas_is_flat_on_the_absolute_scale():
    box = argon_box()
    m = ForwardModel(s_of_q(), box).measurement((3.0, 12.0))
    np.testing.assert_allclose(m.shown.predict(box.ideal_counts), 1.0, atol=1e-10)
    np.testing.assert_allclose(m.total.predict(box.ideal_counts), 4 * math.pi * RHO * m.r, atol=1e-10)


def test_dimers():
    """500 dimers that know nothing of each other: S(Q) = 1 + sin(Qr)/(Qr)."""
    box = argon_box(1000)
    r0, bin_ = 3.71, 185  # the bin from 3.70 to 3.72
    counts = box.ideal_counts * 998 / 999  # the box is closed: 1000 * 999 / 2 pairs in all
    counts[0, bin_] += 500.0
    q = np.arange(0.1, 20.0, 0.05)
    curve = s_of_q(1 + np.sinc(q * r0 / math.pi), q)
    forward = ForwardModel(curve, box)
    fit = forward.fit((0.5, 15.0), None)
    # the box filter leaves a line at 3.71 Å, far below the taper, as it is up to the cut at Q = 20
    exact = 1 + np.sinc(fit.operator.x * r0 / math.pi)
    predicted = fit.operator.predict(counts)
    np.testing.assert_allclose(predicted, fit.values, atol=3e-3)
    inner = fit.operator.x < 12.0
    np.testing.assert_allclose(predicted[inner], exact[inner], atol=0.03)


@pytest.mark.parametrize("window", ["none", "lorch"])
def test_rock_salt_against_a_direct_lattice_sum(window):
    """D(r) of MgO, neutron weights: the forward model against P(r - r_k) - P(r + r_k) summed over all shells."""
    a, repeats, q_max = 4.2115, 8, 18.0
    edge = a * repeats
    grid = np.stack(np.meshgrid(*[np.arange(2 * repeats)] * 3, indexing="ij"), -1).reshape(-1, 3)
    parity = grid.sum(axis=1) % 2
    n = len(grid) // 2
    width = 0.005
    box = Box(("Mg", "O"), (n, n), edge**3, width * np.arange(int(edge / 2 / width) + 1))
    # vectors from one Mg: every site is alike, so one atom's shells times n give all pair counts
    reach = np.arange(-20, 21)
    lattice = np.stack(np.meshgrid(*[reach] * 3, indexing="ij"), -1).reshape(-1, 3)
    r = a / 2 * np.linalg.norm(lattice, axis=1)
    like = lattice.sum(axis=1) % 2 == 0
    inside = (r > 0) & (r < box.r_max)
    hist = lambda mask: np.histogram(r[mask & inside], box.edges)[0].astype(float)  # noqa: E731
    counts = np.array([n / 2 * hist(like), n * hist(~like), n / 2 * hist(like)])
    assert parity.sum() == n

    b = np.array([5.375, 5.803])
    curve = Curve(
        x=np.arange(0.01, q_max + 1e-9, 0.01),
        y=np.ones(1800),
        quantity="S(Q)",
        number_density=box.number_density,
        composition={"Mg": 1.0, "O": 1.0},
        window=window,
        name="mgo",
    )
    m = ForwardModel(curve, box).measurement((1.0, 9.0))
    weight_like = 0.5 * (b[0] ** 2 + b[1] ** 2) / b.mean() ** 2
    weight_unlike = b[0] * b[1] / b.mean() ** 2
    shell = r > 0
    expected = -4 * math.pi * box.number_density * m.r
    # P(x), the integral of the window times cos(Qx)/pi up to Q_max, in closed form
    kernel_x = np.linspace(-60, 60, 12001)
    if window == "lorch":
        ends = (sici(math.pi + sign * q_max * kernel_x)[0] for sign in (1.0, -1.0))
        kernel = q_max / (2.0 * math.pi**2) * sum(ends)
    else:
        kernel = q_max / math.pi * np.sinc(q_max * kernel_x / math.pi)
    # the infinite uniform background transforms to -4 pi rho r; lattice shells beyond 40 Å no longer matter below 9 Å
    near = shell & (r < 36.0)
    weights = np.where(like, weight_like, weight_unlike)[near] / r[near]
    radii, index = np.unique(np.round(r[near], 9), return_inverse=True)
    totals = np.bincount(index, weights)
    p = lambda x: np.interp(x, kernel_x, kernel)  # noqa: E731
    lines = (p(m.r[:, None] - radii) - p(m.r[:, None] + radii)) @ totals
    # background inside 36 Å only, as the lines: subtract its outer part through the same kernel
    s = np.arange(0.0, 36.0, 0.01) + 0.005
    uniform = 4 * math.pi * box.number_density * s * 0.01
    expected = lines - (p(m.r[:, None] - s) - p(m.r[:, None] + s)) @ uniform
    got = m.total.predict(counts) - m.total.baseline
    # a sharp cut at r_max = 16.8 Å leaks 1/(q_max distance) of the crystal's undamped long-range order
    tolerance = 0.02 if window == "lorch" else 0.06
    assert np.abs(got - expected).max() < tolerance * np.abs(expected).max()


def test_measured_and_model_pass_through_the_same_box_filter():
    """A measured curve that the box can represent comes back unchanged, and equals the model that made it."""
    box = argon_box()
    rng = np.random.default_rng(0)
    g = 1 + 0.5 * np.exp(-((box.centres - 3.7) ** 2) / 0.2) * (box.centres > 3) + 0 * rng.random()
    counts = box.ideal_counts * g
    q = np.arange(0.01, 30.0, 0.01)
    empty = ForwardModel(s_of_q(np.ones_like(q), q), box)
    made = empty.measurement((3.0, 12.0)).shown.predict(counts)
    forward = ForwardModel(s_of_q(made, q), box)
    fit = forward.fit((0.5, 20.0), None)
    np.testing.assert_allclose(fit.values, fit.operator.predict(counts), atol=2e-3)
    measurement = forward.measurement((3.0, 12.0))
    assert measurement.r_chi(counts) < 2e-3


def test_fit_points_are_at_the_nyquist_spacing_and_whiten_white_noise():
    """Raw noise of 0.01 on points 0.03 apart becomes independent noise of the same information on the fitted points."""
    box = argon_box()
    q = np.arange(0.03, 11.75, 0.03)
    fit = ForwardModel(s_of_q(sigma=np.full(len(q), 0.01)), box).fit((0.5, 11.5), None)
    spacing = np.diff(fit.operator.x)
    np.testing.assert_allclose(spacing, math.pi / (box.r_max - 1.5))
    expected = 0.01 * math.sqrt(0.03 / spacing[0])
    inner = (fit.operator.x > 2) & (fit.operator.x < 10)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance))[inner], expected, rtol=0.1)
    assert fit.sigma_known


def test_keen_neutron_scale_and_xray_normalisation():
    """F(Q) = <b>^2 [S - 1] in barn; <f^2>: <f>^2/<f^2> [S - 1]; one counts, three declarations."""
    box = Box(("Fe", "O"), (200, 200), 400 / 0.08, 0.02 * np.arange(400))
    rng = np.random.default_rng(1)
    counts = box.ideal_counts * (1 + 0.3 * rng.normal(size=(3, 399)))
    q = np.arange(0.5, 15.0, 0.05)
    base = {"x": q, "y": np.zeros_like(q) + 1e-9 * q, "composition": {"Fe": 1, "O": 1}, "number_density": 0.08}
    fz = ForwardModel(Curve(quantity="i(Q)", radiation="neutron", **base), box).measurement(None)
    keen = ForwardModel(Curve(quantity="F(Q)", normalisation="keen", radiation="neutron", **base), box).measurement(
        None
    )
    mean_b = 0.5 * (9.45 + 5.8037)
    np.testing.assert_allclose(keen.shown.predict(counts), 0.01 * mean_b**2 * fz.shown.predict(counts), rtol=1e-3)
    # T(r) behind R_chi is Faber-Ziman in both
    np.testing.assert_allclose(keen.total.predict(counts), fz.total.predict(counts), rtol=1e-9)
    x = ForwardModel(Curve(quantity="i(Q)", radiation="xray", **base), box).measurement(None)
    x2 = ForwardModel(Curve(quantity="i(Q)", normalisation="<f^2>", radiation="xray", **base), box).measurement(None)
    ratio = x2.shown.predict(counts) / x.shown.predict(counts)
    assert np.all(ratio < 1)
    at5 = np.argmin(np.abs(q - 5.0))
    fe, o = 13.8650, 3.0212
    assert ratio[at5] == pytest.approx((0.5 * (fe + o)) ** 2 / (0.5 * (fe**2 + o**2)), rel=2e-3)


def test_partials_and_r_space_curves():
    box = Box(("Ca", "Cl"), (100, 200), 300 / 0.05, 0.02 * np.arange(400))
    rng = np.random.default_rng(2)
    g = 1 + 0.2 * rng.normal(size=(3, 399)).cumsum(axis=1) / 20
    g -= ((g - 1) @ box.closure)[:, None] / box.closure.sum()  # as many pairs as a closed box has
    counts = box.ideal_counts * g
    r = np.arange(1.0, 7.0, 0.02) + 0.01
    common = {"x": r, "y": np.ones_like(r), "composition": {"Ca": 1, "Cl": 2}, "number_density": 0.05}
    partial = ForwardModel(Curve(quantity="g(r)", pair=("Cl", "Ca"), radiation=None, **common), box).measurement(None)
    expected = np.interp(r, box.centres, g[1])
    np.testing.assert_allclose(partial.shown.predict(counts), expected, atol=1e-9)
    total = ForwardModel(Curve(quantity="T(r)", radiation="neutron", **common), box).measurement(None)
    b = np.array([4.70, 9.577])
    c = np.array([1 / 3, 2 / 3])
    w = np.array([c[0] ** 2 * b[0] ** 2, 2 * c[0] * c[1] * b[0] * b[1], c[1] ** 2 * b[1] ** 2]) / (c @ b) ** 2
    expected = 4 * math.pi * 0.05 * r * sum(w[p] * np.interp(r, box.centres, g[p]) for p in range(3))
    np.testing.assert_allclose(total.shown.predict(counts), expected, rtol=2e-3)
    with pytest.raises(InputError, match="q_range"):
        ForwardModel(Curve(quantity="D(r)", radiation="xray", **common), box)


@pytest.mark.parametrize(
    ("fit_q", "fit_r", "message"),
    [((0.5, 20.0), None, "beyond the data"), (None, (2.0, 20.0), "box"), ((5.0, 5.3), None, "fewer than 4")],
)
def test_ranges_that_cannot_be_are_refused(fit_q, fit_r, message):
    with pytest.raises(InputError, match=message):
        ForwardModel(s_of_q(), argon_box()).fit(fit_q, fit_r)


def test_a_curve_in_r_that_ends_inside_the_box_is_fitted_to_its_end():
    r = np.arange(0.5, 9.01, 0.02)
    curve = Curve(x=r, y=np.ones_like(r), quantity="g(r)", number_density=RHO, composition={"Ar": 1.0}, name="test")
    assert argon_box().r_max > 14.0
    x = ForwardModel(curve, argon_box()).fit(None, None).operator.x
    assert x[-1] == pytest.approx(9.0, abs=0.11)


def test_score_range_beyond_the_box_is_refused():
    with pytest.raises(InputError, match="score_r"):
        ForwardModel(s_of_q(), argon_box()).measurement((3.0, 20.0))


def test_metrics():
    assert r_chi(np.array([3.0, 4.0]), np.array([3.0, 3.0])) == pytest.approx(0.2)
    assert chi_squared(np.array([1.0, 2.0]), np.diag([1.0, 4.0])) == pytest.approx(2.0)


def test_the_derivative_of_r_chi():
    """Central differences, point by point."""
    rng = np.random.default_rng(1)
    measured, model = rng.normal(size=(2, 12))
    differences = [(r_chi(measured, model + h) - r_chi(measured, model - h)) / 2e-5 for h in 1e-5 * np.eye(12)]
    np.testing.assert_allclose(r_chi_derivative(measured, model), differences, rtol=1e-6, atol=1e-9)


def test_a_closed_box_sees_the_infinite_liquid():
    """Hard-core hole in an otherwise uniform liquid: counts of a closed box of 300 atoms give g = 1 at large r and the
    S(Q) of the infinite system at low Q, where the uncorrected 1/N would be 0.5 at Q = 0."""
    box = argon_box(300)
    hole = 4 / 3 * math.pi * 2.2**3
    g = np.where(box.centres < 2.2, 0.0, 1.0)
    outside = 1 / (1 - hole / box.volume)  # pairs missing in the hole are elsewhere in the box
    counts = box.ideal_counts * g * outside
    q = np.arange(0.02, 14.0, 0.02)
    fit = ForwardModel(s_of_q(np.ones_like(q), q), box).fit((0.3, 6.0), None)
    x = fit.operator.x * 2.2
    exact = 1 - RHO * hole * 3 * (np.sin(x) - x * np.cos(x)) / x**3
    np.testing.assert_allclose(fit.operator.predict(counts), exact, atol=4e-3)
    gr = Curve(x=box.centres, y=g, quantity="g(r)", composition={"Ar": 1.0}, number_density=RHO)
    shown = ForwardModel(gr, box).measurement((3.0, 8.0)).shown
    np.testing.assert_allclose(shown.predict(counts)[shown.x > 3.0], 1.0, atol=1e-4)


def ordered_liquid(s):
    """g - 1 at distances s (Å), to infinity: a core and a damped oscillation of period 3.15 Å."""
    return np.where(s < 3.2, -1.0, 3.0 * np.cos(2 * np.pi * (s - 3.7) / 3.15) * np.exp(-s / 3.6))


def ordered_liquid_s_of_q(q, density=RHO):
    """S(Q) of `ordered_liquid` by quadrature to 60 Å, where it is 1e-8."""
    s = np.arange(0.005, 60.0, 0.01)
    kernel = np.sinc(np.outer(q, s) / np.pi)
    return 1 + 4 * np.pi * density * 0.01 * (kernel * s**2 * ordered_liquid(s)).sum(axis=1)


def images_of_ordered_liquid(box):
    """What `ordered_liquid` about the images of an atom, on a cubic lattice, adds to its g; by quadrature of angles."""
    edge = box.volume ** (1 / 3)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    cosine, angle = 0.5 * (nodes + 1), 0.25 * np.pi * (nodes + 1)  # one octant: the cube's symmetry does the rest
    sine = np.sqrt(1 - cosine**2)
    directions = np.stack(
        [np.outer(sine, np.cos(angle)), np.outer(sine, np.sin(angle)), np.outer(cosine, np.ones(24))], axis=-1
    ).reshape(-1, 3)
    share = np.outer(weights, weights).ravel() / 4
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    r, images = box.centres, np.zeros_like(box.centres)
    for vector in grid[np.any(grid != 0, axis=1)] * edge:
        images += ordered_liquid(np.linalg.norm(r[:, None, None] * directions + vector, axis=2)) @ share
    return images


def test_periodic_images_are_put_on_the_measurement_in_q():
    """The infinite liquid's S(Q) as the box would show it, against the counts of the box: what the images shift S(Q)
    by is there to a fifth."""
    box = argon_box(300, width=0.02)
    s = np.arange(0.005, 60.0, 0.01)
    constant = -(4 * np.pi * s**2 * ordered_liquid(s) * 0.01).sum() / box.volume  # a closed box averages to g = 1
    counts = box.ideal_counts * (1 + ordered_liquid(box.centres) + images_of_ordered_liquid(box) + constant)
    q = np.arange(0.02, 14.0, 0.02)
    forward = ForwardModel(s_of_q(ordered_liquid_s_of_q(q), q), box)
    fit = forward.fit((1.0, 12.0), None)
    operator, back = forward.compared.operator(fit.operator.x)
    shift = np.abs(fit.values - 1.0 - back @ (forward.curve.y - 1.0)).max()
    assert shift > 0.005
    left = np.abs(operator.predict(counts) - fit.values)
    assert left.max() < 0.2 * shift


@pytest.mark.parametrize("scale", [1.0, 0.9])
def test_periodic_images_are_put_on_the_measurement_in_r(scale):
    """T(r) of the infinite liquid, measured to 40 Å and normalised right or 10 % low: the images that it gets are those
    of the box, times its scale, to 13 %; a line through D(r), which the wrong scale draws, has no images."""
    box = argon_box(108, width=0.02)
    images = images_of_ordered_liquid(box)
    r = np.arange(0.02, 40.0, 0.02)
    t = scale * 4 * math.pi * RHO * r * (1 + ordered_liquid(r))
    curve = Curve(x=r, y=t, quantity="T(r)", composition={"Ar": 1.0}, number_density=RHO, name="test")
    measurement = ForwardModel(curve, box).measurement((3.0, 8.5))
    at = measurement.shown.x
    assert at[-1] == pytest.approx(box.r_max, abs=0.02)
    per_g = 4 * math.pi * RHO * at
    added = (measurement.in_box_values - measurement.shown_values) / per_g
    # the correction for the closed box, of what is counted, acts on them, too
    expected = scale * np.interp(at, box.centres, images + box.closure @ images)
    size = np.abs(expected[at > 3.3]).max()
    assert size > 0.01
    np.testing.assert_allclose(added[at > 3.3], expected[at > 3.3], atol=0.13 * size)


def packed(numbers, density, frames, seed=1):
    """Mean pair counts (pairs, bins), box, positions (frames, n, 3) of random packings of soft spheres 2.75 Å apart."""
    rng = np.random.default_rng(seed)
    n = sum(numbers.values())
    edge = (n / density) ** (1 / 3)
    species = np.repeat(np.arange(len(numbers)), list(numbers.values()))
    box = Box(tuple(numbers), tuple(numbers.values()), n / density, 0.02 * np.arange(int(edge / 2 / 0.02) + 1))

    def vectors(x):
        d = x[:, None] - x
        return d - edge * np.round(d / edge)

    def apart(x, steps):
        for _ in range(steps):
            d = vectors(x)
            r = np.linalg.norm(d, axis=2) + 9.0 * np.eye(n)
            x = x + 0.3 * np.einsum("ij,ijk->ik", np.clip(2.75 - r, 0.0, None) / r, d)
        return x

    x = apart(rng.uniform(0.0, edge, (n, 3)), 1000)
    i, j = np.triu_indices(n, 1)
    kinds = np.sort([species[i], species[j]], axis=0)
    counts, positions = np.zeros((len(box.pairs), len(box.centres))), []
    for _ in range(frames):
        x = apart(x + rng.normal(0.0, 0.25, x.shape), 30)
        positions.append(x)
        r = np.linalg.norm(vectors(x), axis=2)[i, j]
        for p, pair in enumerate([(a, b) for a in range(len(numbers)) for b in range(a, len(numbers))]):
            counts[p] += np.histogram(r[np.all(np.array(pair) == kinds.T, axis=1)], box.edges)[0] / frames
    return counts, box, np.array(positions)


@cache
def small_glass_frames():
    """63 atoms in a box of 12.4 Å: half of it is 6.2 Å."""
    return packed({"Ge": 14, "Sb": 14, "Te": 35}, 0.033, 40)


def small_glass():
    return small_glass_frames()[:2]


def blank_curve(quantity, q_range, **given):
    """A curve without features, on points 0.02 apart: of Q, or of r to half the box."""
    _, box = small_glass()
    low, high = q_range
    in_q = quantity.endswith("(Q)")
    x = low + 0.02 * np.arange(int((high - low) / 0.02 + 1e-9) + 1) if in_q else 0.02 * np.arange(1, 310)
    limits = {} if in_q else {"q_min": low, "q_max": high}
    y = np.ones_like(x) if quantity == "S(Q)" else 1e-12 * x
    settings = {"composition": dict(zip(box.species, box.n_per_species, strict=True)), "number_density": 0.033}
    return Curve(x=x, y=y, quantity=quantity, name="blank", **(settings | limits | given))


CURVES = {
    "S(Q)": ("S(Q)", {"radiation": "neutron"}),
    "F(Q), x-ray": ("F(Q)", {"normalisation": "keen", "radiation": "xray"}),
    "D(r)": ("D(r)", {"radiation": "neutron"}),
    "T(r), lorch, x-ray": ("T(r)", {"radiation": "xray", "window": "lorch"}),
}


@pytest.mark.parametrize("q_range", [(0.05, 20.0), (0.3, 20.0), (0.8, 12.0)])
@pytest.mark.parametrize("kind", CURVES)
def test_a_models_own_curve_scores_zero(kind, q_range):
    """A predicted curve of a small box, read back as the measurement of the very same counts."""
    counts, box = small_glass()
    quantity, given = CURVES[kind]
    blank = blank_curve(quantity, q_range, **given)
    shown = ForwardModel(blank, box).measurement(None).shown
    forward = ForwardModel(replace(blank, x=shown.x, y=shown.predict(counts)), box)
    measurement, fit = forward.measurement(None), forward.fit(None, None)
    assert measurement.r_chi(counts) < 0.003
    assert measurement.r[-1] > 6.0
    assert np.std(measurement.total_values - measurement.total.baseline) > 0.1
    np.testing.assert_allclose(
        fit.operator.predict(counts), fit.values, atol=0.025 * np.std(fit.values - fit.operator.baseline)
    )


@pytest.mark.parametrize("kind", CURVES)
def test_the_models_curve_does_not_depend_on_the_measured_one(kind):
    """A curve without features, as of a prediction; one to 15 Å or noise in Q; and that one 10 % low."""
    _, box = small_glass()
    quantity, given = CURVES[kind]
    blank = blank_curve(quantity, (0.3, 20.0), **given)
    rng = np.random.default_rng(0)
    longer = blank.x if blank.in_q_space else 0.02 * np.arange(1, 750)
    measured = rng.normal(size=len(longer)) + 0.4 * longer
    models = [ForwardModel(replace(blank, x=longer, y=y), box) for y in (0.0 * longer, measured, 0.9 * measured)]
    measurements = [model.measurement((2.0, 6.0)) for model in models]
    limits = (None, (2.0, 6.0)) if quantity.endswith("(r)") else ((1.0, 15.0), (2.0, 6.0))
    of_fit = [model.fit(*limits).operator for model in models]
    for name in ("shown", "in_box", "total"):
        for one in measurements[1:]:
            for part in ("x", "matrix", "constant", "baseline"):
                expected = getattr(getattr(measurements[0], name), part)
                np.testing.assert_array_equal(getattr(getattr(one, name), part), expected)
    for one in of_fit[1:]:
        np.testing.assert_array_equal(one.matrix, of_fit[0].matrix)
        np.testing.assert_array_equal(one.constant, of_fit[0].constant)


def test_a_coarse_curve_in_r_is_compared_where_it_was_measured():
    """Points 0.08 Å apart, ripples of Q_max = 20 1/Å: interpolated, model and measurement alike, they score zero."""
    counts, box = small_glass()
    blank = blank_curve("D(r)", (0.3, 20.0), radiation="neutron")
    blank = replace(blank, x=blank.x[::4], y=blank.y[::4])
    shown = ForwardModel(blank, box).measurement(None).shown
    forward = ForwardModel(replace(blank, x=shown.x, y=shown.predict(counts)), box)
    assert forward.measurement((1.0, 6.0)).r_chi(counts) < 1e-9
    fit = forward.fit(None, (1.0, 6.0))
    np.testing.assert_allclose(fit.operator.predict(counts), fit.values, atol=1e-9)


@pytest.mark.parametrize("n", [108, 500])
def test_the_error_of_the_cut_covers_the_infinite_liquid(n):
    """S(Q) of g cut at half the box against that of the liquid to infinity, whose g the counts hold exactly."""
    box = argon_box(n)
    g = 1 + ordered_liquid(box.centres)
    g -= ((g - 1) @ box.closure) / (1 + box.closure.sum())  # what the closed box takes off
    q = np.arange(0.1, 14.0, 0.02)
    measurement = ForwardModel(s_of_q(np.ones_like(q), q), box).measurement((3.0, 8.0))
    counts = box.ideal_counts * g
    off = np.abs(measurement.shown.predict(counts) - ordered_liquid_s_of_q(q))
    error = measurement.cut_error(counts)
    assert off.max() > 0.2
    assert np.mean(off < 2 * error) > 0.95
    assert np.mean(off < error) > 0.68
    assert error[q > 6.0].max() < 0.1  # no wider than the ripples of a cut
    np.testing.assert_array_equal(measurement.cut_error(box.ideal_counts * (1 + 1e-12)) < 1e-9, True)


def test_the_error_of_the_cut_covers_the_boxs_own_wave_vectors():
    """Predicted neutron S(Q) of 63 atoms against |Σ b exp(iQr)|^2 of the same frames, averaged over the wave vectors of
    each length, which a cut of g(r) does not touch; errors of the sum from the frames, taken as independent."""
    counts, box, positions = small_glass_frames()
    b = np.repeat([8.185, 5.57, 5.80], box.n_per_species)
    unit = 2 * math.pi / box.volume ** (1 / 3)
    steps = np.stack(np.meshgrid(*[np.arange(-16, 17)] * 3, indexing="ij"), -1).reshape(-1, 3)
    squared = np.sum(steps**2, axis=1)
    off, error = [], []
    for length in [k for k in range(1, 257) if np.any(squared == k)][::4]:
        phases = np.exp(1j * unit * (positions @ steps[squared == length].T))
        s = (np.abs(np.einsum("a,faw->fw", b, phases)) ** 2 / len(b) - np.mean(b**2)) / np.mean(b) ** 2
        q = np.array([unit * math.sqrt(length)])
        curve = Curve(x=q[0] + 0.02 * np.arange(5), y=np.ones(5), quantity="S(Q)", radiation="neutron", name="w")
        curve = replace(curve, composition={"Ge": 14, "Sb": 14, "Te": 35}, number_density=0.033)
        measurement = ForwardModel(curve, box).measurement((2.0, 6.0))
        off.append(measurement.shown.predict(counts)[0] - 1 - s.mean())
        error.append(math.hypot(measurement.cut_error(counts)[0], s.mean(axis=1).std() / math.sqrt(len(s))))
    z = np.abs(np.array(off) / error)
    assert np.max(np.abs(off)) > 0.1  # what the error of sampling alone does not say
    assert np.mean(z < 1) > 0.6
    assert np.mean(z < 2) > 0.9


def test_bins_too_wide_for_the_largest_q_are_refused():
    q = np.arange(0.1, 21.0, 0.05)
    with pytest.raises(InputError, match=r"bins of 0.1 Å are too wide for Q to 20.95 .*bin_width = 0.095"):
        ForwardModel(s_of_q(np.ones_like(q), q), argon_box(width=0.1))


def test_small_errors_are_not_drowned_by_large_ones():
    """Stated errors that grow from 0.001 to 1 along a curve in r: the covariance holds each to 1e-4 of its own."""
    box = argon_box()
    r = np.arange(0.5, 14.0, 0.05)
    sigma = np.geomspace(1e-3, 1.0, len(r))
    curve = Curve(x=r, y=1 + 0.1 * np.sin(r), sigma=sigma, quantity="g(r)", number_density=RHO, composition={"Ar": 1.0})
    fit = ForwardModel(curve, box).fit(None, (2.5, 13.0))
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), np.interp(fit.operator.x, r, sigma), rtol=1e-3)


FE_O = {"composition": {"Fe": 1, "O": 1}, "number_density": 0.08}


@cache
def flat_cases() -> dict[str, tuple[dict, Box]]:
    """Curves in Q of every declared kind, a smooth signal each."""
    q = np.arange(0.3, 14.0, 0.1)
    signal = 0.4 * np.sin(2.1 * q) * np.exp(-0.1 * q)
    argon = {"number_density": RHO, "composition": {"Ar": 1.0}, "isotopes": {"Ar": 36}, "radiation": "neutron"}
    iron = FE_O | {"radiation": "xray"}
    fe_o = Box(("Fe", "O"), (200, 200), 400 / 0.08, 0.05 * np.arange(160))
    return {
        "S(Q)": ({"x": q, "y": 1 + signal, "quantity": "S(Q)"} | argon, argon_box(300, 0.05)),
        "S(Q), lorch": ({"x": q, "y": 1 + signal, "quantity": "S(Q)", "window": "lorch"} | argon, argon_box(300, 0.05)),
        "Q[S(Q)-1]": ({"x": q, "y": q * signal, "quantity": "Q[S(Q)-1]"} | argon, argon_box(300, 0.05)),
        "x-ray F(Q), keen": ({"x": q, "y": 90 * signal, "quantity": "F(Q)", "normalisation": "keen"} | iron, fe_o),
        "x-ray i(Q), <f^2>": ({"x": q, "y": signal, "quantity": "i(Q)", "normalisation": "<f^2>"} | iron, fe_o),
    }


LEVEL = 0.37


@cache
def flat_model(case: str, background: float) -> ForwardModel:
    given, box = flat_cases()[case]
    return ForwardModel(Curve(name="flat", **(given | {"y": given["y"] + background})), box)


@pytest.mark.parametrize("case", flat_cases())
@pytest.mark.parametrize("space", ["q", "r", "both"])
def test_a_flat_background_adds_its_response_to_the_fitted_values(case, space):
    """Measured + b against measured: everything that b changes, images of the box included, is in `background`."""
    limits = (None if space == "r" else (0.8, 13.0), None if space == "q" else (1.5, 6.0))
    bare, raised = (flat_model(case, b).fit(*limits) for b in (0.0, LEVEL))
    shift = raised.values - bare.values
    assert bare.background.shape == (len(bare.values), 1)
    scale = np.abs(bare.background).max()
    np.testing.assert_allclose(shift / scale, LEVEL * bare.background[:, 0] / scale, atol=1e-10)
    np.testing.assert_allclose(raised.background, bare.background, rtol=1e-12)
    assert scale > 0.0


@pytest.mark.parametrize("case", flat_cases())
def test_a_flat_background_adds_its_response_to_what_is_shown_and_scored(case):
    bare, raised = (flat_model(case, b).measurement((2.0, 6.0)) for b in (0.0, LEVEL))
    for name in ("total", "in_box", "shown"):
        shift = getattr(raised, f"{name}_values") - getattr(bare, f"{name}_values")
        np.testing.assert_allclose(shift, LEVEL * getattr(bare, f"{name}_background")[:, 0], atol=1e-10)


@pytest.mark.parametrize("case", flat_cases())
def test_r_chi_with_scale_and_background_undoes_them(case):
    """Data that are scale times the model's signal plus a flat background have the R_chi of clean data."""
    box, rng = flat_model(case, 0.0).box, np.random.default_rng(4)
    counts = box.ideal_counts * (1 + 0.05 * rng.normal(size=box.ideal_counts.shape))
    clean, raised = (flat_model(case, b).measurement((2.0, 6.0)) for b in (0.0, LEVEL))
    # R_chi itself is relative to the measured T(r), which the background changed
    scale = np.sum(clean.total_values**2) / np.sum(raised.total_values**2)
    assert raised.r_chi(counts, 1.0, [LEVEL]) ** 2 == pytest.approx(scale * clean.r_chi(counts) ** 2, rel=1e-9)
    baseline = clean.total.baseline
    model = baseline + 0.9 * (clean.total.predict(counts) - baseline) + LEVEL * clean.total_background[:, 0]
    assert clean.r_chi(counts, 0.9, [LEVEL]) == pytest.approx(r_chi(clean.total_values, model), rel=1e-12)


def test_curves_in_r_have_no_flat_background():
    box = argon_box()
    r = np.arange(2.0, 9.0, 0.05)
    curve = Curve(x=r, y=1 + 0.1 * np.sin(r), quantity="g(r)", composition={"Ar": 1.0}, number_density=RHO)
    forward = ForwardModel(curve, box)
    assert forward.fit(None, (2.5, 8.0)).background is None
    measurement = forward.measurement((3.0, 8.0))
    assert not np.any(measurement.total_background)
    assert not np.any(measurement.shown_background)
