"""Sampling: engines, start structures, frames. jax is imported in `jax`, `moves` and `trajectories` alone."""
