"""Results on structured inputs, as data and as text."""
