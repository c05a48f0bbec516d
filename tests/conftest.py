"""Somebody's tests/conftest.py of 19:44 was overwritten here by mistake (helper DATA, 19:45): please write it again."""
