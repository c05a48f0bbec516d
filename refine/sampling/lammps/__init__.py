"""Molecular dynamics by LAMMPS: in this process, or as a program that is started for every block."""
