"""How tokenizer, base model and adapters are made from data, and how they are scored."""
