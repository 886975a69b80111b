"""Sources of intensity that need no network."""
