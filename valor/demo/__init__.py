"""The embedded demo world: a miniature of LLP rendered as real files, and the run from clips to an F-score table."""
