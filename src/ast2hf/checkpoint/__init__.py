"""Find, download, validate and read a checkpoint: its tensors by name, their bytes, and its provenance."""
