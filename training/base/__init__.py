"""The base model, from nothing: tokenizer, text, grounded documents, pretraining."""
