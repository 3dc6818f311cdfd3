"""Real models of public libraries, small and randomly initialised, recorded and judged."""
