"""How tokenizer, base model, adapters and the safety filter's classifier are made from data, and how they are scored.

pairs        question-answer pairs: read, curated, split, kept as datasets
base         the base model, from nothing: tokenizer, text, grounded documents, pretraining on one device or many
tuning       an adapter from pairs (`sft.py`), from what is better (`dpo.py`), from what can be checked (`grpo.py`)
records      what a run writes down, and where runs are found; `report` draws them
promotion    an adapter's place on the shelf, its scores, its gate
classifiers  the safety filter's, retrieval's, and whether two questions are the same
evals        measuring; `export` writes other formats; `recipe.py` reads the arguments in `recipes`

It may use `inference`, `rag`, the log (`bot.store`) and what masks personal data; the service never imports it.
"""
