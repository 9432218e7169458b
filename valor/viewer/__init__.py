"""The viewer: media beside its timeline, served or written as one file, and the corrections made in it."""
