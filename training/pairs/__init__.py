"""Question-answer pairs: read, curated, split, and kept as datasets that never change."""
