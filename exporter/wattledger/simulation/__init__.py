"""A deterministic host with known physics, workloads and truth: for demonstrations, tests and accuracy."""
