"""A frozen visual tower that hears: LAVISH's adapters in it, and what it then says of clips as a kind of features."""
