"""Changes of a node with which two programs would be the same, in words."""
