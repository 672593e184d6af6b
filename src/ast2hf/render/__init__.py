"""What people see of a conversion: terminal, model card, page, plots. Reads only :mod:`ast2hf.results`."""
