"""Find, download, validate and read a checkpoint: name -> tensor, where its bytes lie, provenance."""
