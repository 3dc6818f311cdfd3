"""Two programs side by side: where they first part, and why."""
