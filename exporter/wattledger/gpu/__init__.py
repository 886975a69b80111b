"""GPUs: who used which board."""
