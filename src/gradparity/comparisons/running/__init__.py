"""Run what is under test: find implementations, call a user's code, report progress."""
