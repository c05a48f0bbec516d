"""The misfit between a model and its measurements, taken apart into named directions, by generalised least squares.

    e = measured - predicted = Σ_d X_d x_d + noise,   noise ~ N(0, Σ),   x_d ~ N(0, R_d R_d')

Each direction is one column X = -de/dx of a state or a data set, in `KINDS` and `UNITS` of `decomposition`. Their
derivation, and that of shares and errors, is in docs/theory/misfit.md. Scalars have priors (`PRIORS`) too wide to shift
a determined value; they only keep collinear directions solvable.
"""
