"""Molecular dynamics by ASE: any calculator of ASE as a base, one replica after the other."""
