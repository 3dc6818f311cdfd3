"""Findings: what was judged about one quantity of one implementation."""
