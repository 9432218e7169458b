"""Networks on raw pictures and sound, a second at a time, and what they learn from without labels."""
