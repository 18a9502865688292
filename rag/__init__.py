"""How passages are found and how an answer is checked against them. Imports nothing else of ours."""
