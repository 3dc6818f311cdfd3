"""Check every case through every implementation and dtype."""
