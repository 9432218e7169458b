"""Encoders beside the hybrid one, a file each; with it what the published network has around the encoder."""
