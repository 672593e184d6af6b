"""The proof: pure comparisons, the checks made of them, and the evidence that they ask for."""
