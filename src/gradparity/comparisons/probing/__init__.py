"""Kinks, smooth regions and structures together, in processes of their own, and resumed."""
