"""gradparity."""
