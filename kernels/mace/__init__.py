"""The kernels of a MACE network: radial functions, spherical harmonics, convolution, symmetric contraction."""
