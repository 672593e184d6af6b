"""The proof over a data set: where its clips come from, both models over all of them, and the figures of it."""
