"""Predicts how far diabetes progresses within a year."""
