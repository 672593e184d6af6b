"""The command around a conversion: command line, errors, signals, terminal. All global state is set here."""
