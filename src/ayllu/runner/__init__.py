"""One llama-server child per loaded model: found, started, spoken to, kept alive, stopped."""
