"""Sampling: start structures, molecular dynamics, frames. Only `dynamics` and `thermostats` import jax."""
