"""A bench that can tell methods apart: simulated worlds as hard as LLP, and the published order as its test."""
