"""The original front end and architecture in plain torch: the ground truth of the proof."""
