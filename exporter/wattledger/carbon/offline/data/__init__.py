"""The bundled tables of figures, as CSV files that name their sources."""
