"""The place of a model folder: locked, staged, published by one rename, and recognised when it is up to date."""
