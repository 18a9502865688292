"""The real service is killed again and again while students write, and then every message is counted.

    python -m tests.chaos [embedded] [scaled] [--kills 300] [--seed 1] [--json]

`make chaos` runs both at full length; the default suite runs a short one.
"""
