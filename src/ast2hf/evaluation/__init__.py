"""The proof over a data set: the sources of its clips, the pass of both models over them, and the figures."""
