"""Whole networks of later methods and other tasks, a file each."""
