"""What may be asked, what may be said, and who is told when a child is in trouble."""
