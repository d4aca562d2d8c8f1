"""The HTTP server: thin handlers, one file of wire structs per dialect."""
