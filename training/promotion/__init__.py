"""An adapter's place on the shelf, its scores, and the gate it has to pass."""
