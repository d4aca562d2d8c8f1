"""The GGUF file format: reading headers, and what they say about a model."""
