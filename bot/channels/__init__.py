"""One module a channel: verify, parse, split, send."""
