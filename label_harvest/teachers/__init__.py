"""Frozen networks that judge frames and sound: CLIP, CLAP, feature extractors, and where their weights come from."""
