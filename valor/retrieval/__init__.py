"""Search: which seconds of a store fit words, a sound or a clip; spaces that are trained for it, indices, figures."""
