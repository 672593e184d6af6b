"""Several jobs in one command: what distinguishes them, the result of each, and the table at the end."""
