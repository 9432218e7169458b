"""Data sets as values: what is known of each, how its files are read, and how one of one's own is made."""
