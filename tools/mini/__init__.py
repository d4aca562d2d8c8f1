"""How ayllu-mini is made: its data, its tokenizer, its training and its scores."""
