"""The mapping from original to converted tensors: operations, rules, and the plan made from them."""
