"""The evidence store on disk: manifest, shards, markers, plans, checks, and the primitives they are written with."""
