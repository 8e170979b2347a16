"""Learners: their data, training, evaluation, and the tracking of all of it in MLflow."""
