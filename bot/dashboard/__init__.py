"""What teachers and operators see."""
