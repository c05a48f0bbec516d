"""Numeric kernels in jax and numpy: neighbour lists, pair sums, histograms, splines, Ewald sums. They know no study."""
