"""One test run: its settings, which implementations are present, and how a test fails."""
