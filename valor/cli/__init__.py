"""One file for each command of `valor`: its help and options, and the call of what does the work."""
