"""Which tensor of the original becomes which of the converted model: operations, rules, and the plan made of them."""
