"""The Hugging Face model folder: written, staged, published, reloaded."""
