"""Plant known faults in correct results and count how many the judge detects."""
