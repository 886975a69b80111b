"""A statement of what a node drew and emitted over a period, from its journal."""
