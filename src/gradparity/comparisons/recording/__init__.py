"""Recordings: what a real program did, judged op by op."""
