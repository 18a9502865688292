"""What a run writes down while it goes on, and where runs are found."""
