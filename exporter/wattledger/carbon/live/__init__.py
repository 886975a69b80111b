"""What lies between a live provider and a price: request, pace, cache, and the source itself."""
