"""Small classifiers: the safety filter's, retrieval's (not in the books), and whether two questions are the same."""
