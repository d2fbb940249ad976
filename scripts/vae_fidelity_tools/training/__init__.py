"""Trains the small models that the repository carries."""
