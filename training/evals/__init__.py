"""Scores: retrieval, answers, safety."""
