"""The findings together: records, differences and changes, and their printers."""
