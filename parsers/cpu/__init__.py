"""The fast step on a CPU: both streams in one product, and a backward written by hand."""
