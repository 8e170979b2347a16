"""Learners of GIBS days: what is wrong with a day, told from features or from pixels."""
