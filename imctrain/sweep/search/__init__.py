"""Searches: the settings that answer a designer's question, found with Optuna among ordinary trials of a sweep."""
