"""Measured curves and how strongly atoms scatter; knows nothing of potentials or simulations."""
