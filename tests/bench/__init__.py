"""`make bench`: what docs/benchmarks.md states, measured on the real service. Nothing is asserted: machines are noisy.

python -m tests.bench.service      start, answers, memory
python -m tests.bench.webhooks     acknowledgements, beside servers that keep nothing
python -m tests.bench.retrieval    questions in large libraries, embedding, the nearest among a million vectors
"""
