"""Learners of interferograms: whether and where the ground has deformed, and how."""
