"""Learning before labels: clips of stores to a stem and an encoder, and what these are worth."""
