"""What is written and loaded again. Adding a format: a module here that gives a :class:`ast2hf.formats.base.Format`."""
