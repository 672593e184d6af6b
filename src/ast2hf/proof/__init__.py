"""The proof: pure comparisons, the checks built from them, and the evidence that they need."""
