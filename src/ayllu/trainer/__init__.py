"""What trains, as a child in a Python that has PyTorch; `spec` is all that others import of it."""
