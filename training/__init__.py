"""How tokenizer, base model, adapters and the safety filter's classifier are made from data, and how they are scored.

Where to look, by the beginning of a module's name:

data, dataset, curate, sameness, splits, lengths, drafts, from_log   question-answer pairs: read, built, split
tokenizer, pretrain, corpus, stream, grounded, initial, model        the base model, from nothing
sft, lora, batching, judge, template, conversations                  an adapter from pairs: begin with `sft.py`
preferences, policy, dpo, grpo, rewards                              an adapter from what is better, or can be checked
record, runs, report, checkpoint, progress                           what a run writes down, and how it is shown
placing, registry, gate                                              an adapter's place, its scores, its gate
safety, ngrams, answerable                                           classifiers: the safety filter's, and retrieval's
evals, export, recipe, recipes, errors                               measuring, other formats, arguments, errors

It may use `inference`, `rag`, the log (`bot.store`) and what masks personal data; the service never imports it.
"""
