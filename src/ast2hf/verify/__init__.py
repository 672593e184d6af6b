"""The proof: pure comparisons, and the ladder that runs them in order."""
