"""Learning before labels: objectives on clips that nobody has tagged, one file a system."""
