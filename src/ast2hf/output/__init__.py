"""Output of a model folder: lock its place, stage it, publish it with one rename, and detect when it is up to date."""
