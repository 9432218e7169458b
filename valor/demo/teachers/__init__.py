"""The demo's own teachers: what they are trained on, and how."""
