"""Evidence, thresholds and tags -> pseudo labels, and what is worth a second look among them."""
