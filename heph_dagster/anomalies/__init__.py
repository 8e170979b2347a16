"""What is wrong with a day of imagery."""
