"""Structured inputs: where ops go wrong that are right on random numbers."""
