"""Recorded programs: their values, computed anew, and changes of their nodes."""
