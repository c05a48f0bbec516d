"""MACE networks: which there are, their files, and the model in jax. The files are read without torch."""
