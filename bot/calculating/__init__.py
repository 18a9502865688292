"""Arithmetic is worked out by program and shown step by step, never guessed by a model (decision 0024)."""
