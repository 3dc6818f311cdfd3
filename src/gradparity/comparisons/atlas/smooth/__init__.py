"""Digits that the frameworks' functions of one number lose, measured against many digits."""
