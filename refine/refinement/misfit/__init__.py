"""The misfit between a model and its measurements, taken apart into named directions, by generalised least squares.

    e = measured - predicted = Σ_d X_d x_d + noise,   noise ~ N(0, Σ),   x_d ~ N(0, R_d R_d')

Directions, each one column X = -de/dx for a state or a data set (h counts, y = A h + y0, Cov over frames):

    temperature  K     Cov(y, U)/(k T^2), at fixed volume; of a state
    density      1     relative change of number density at fixed structure scale; of a state. With positions and box
                       times 1 + ε, d<h>/dε = <∂h/∂ε> + β Cov(h, W), as dU/dε = -W, W = Σ r.f the virial; operator and
                       measured values are rebuilt for the scaled box with the same histogram edges, so the explicit
                       rho0 is in; density changes by -3ε
    scale        1     y - baseline; of a data set
    background   declared unit; of a data set in Q
    damping      Å^-2  Qdamp^2: D(r) exp(-Qdamp^2 r^2/2) to first order, the resolution in Q
    broadening   Å^2   s^2: D(r) convolved with a Gaussian of variance s^2, S(Q)-1 times exp(-Q^2 s^2/2), to first
                       order: resolution in r, what a window or a low Q_max does (Lorch: s^2 = pi^2/(3 Q_max^2) at
                       leading order), or thermal and quantum smearing
    truncation   1/Å   Q_max of the transform behind r-space data that state one, by a tenth lower
    pair         eV    -β Cov(y, N), under the smoothness prior, one common amplitude by evidence

Damping and broadening describe what the measurement does to the true curve: positive values are physical, negative
ones say that the model is the one that is too smooth. All other signs can be either. Scalars have priors (`PRIORS`) too
wide to shift a determined value; they only keep collinear directions solvable.

Shares are of the excess chi^2_0 - n. A fit takes k - tr(A^-2), A = I + R'X'Σ^-1 X R, off chi^2 even of pure noise;
that is subtracted. Standard errors contain the sampling noise of the columns (at the fitted x), those of shares do not.
"""
