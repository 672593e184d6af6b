"""Find, fetch, vet and read the source: name -> tensor, where its bytes lie, provenance."""
