"""Figures drawn from the numbers of `eval`."""
