"""Molecular dynamics that another program does, block by block; what is here is the same whichever it is."""
