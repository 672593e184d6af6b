"""Several jobs in one command: what distinguishes them, what came of each, and the table at the end."""
