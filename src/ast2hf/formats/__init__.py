"""Output formats. To add one, write a module here that provides a :class:`ast2hf.formats.base.Format`."""
