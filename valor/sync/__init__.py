"""Synchronisation: how far the sound of media is from the picture, learned from media whose own two belong together."""
