"""Answers that are at hand: a teacher's (`verified`), and what was answered a moment ago (`cache`)."""
