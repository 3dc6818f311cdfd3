"""The catalogue of finds: wrong results of released functions, each confirmed by running it."""
