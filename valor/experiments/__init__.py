"""Whole tables in one command: published rows, ablations, simulated features."""
