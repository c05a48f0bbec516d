"""Molecular dynamics in jax: lists, integrators, samplers, and gradients through trajectories."""
