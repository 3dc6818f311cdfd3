"""What the frameworks take at kinks, measured and compared with a stored measurement."""
