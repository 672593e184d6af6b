"""What people see of a conversion: terminal, model card, page, plots. Reads :mod:`ast2hf.results` alone."""
