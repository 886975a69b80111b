"""Rule files for Prometheus: budgets over many nodes, written from a list."""
