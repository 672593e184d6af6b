"""Which tensor of the original becomes which of the Hugging Face model."""
