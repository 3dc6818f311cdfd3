"""Faults planted in order to be caught: is the tester itself any good?"""
