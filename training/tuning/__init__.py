"""Adapters: from pairs (begin with `sft.py`), from what is better (`dpo.py`), from what can be checked (`grpo.py`)."""
