"""Typed parts of a Grafana dashboard, which render to classic JSON in a fixed order."""
