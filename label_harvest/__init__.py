"""Media files -> cached evidence of two frozen teachers -> pseudo labels per second and modality."""
