"""Metrics of recognition and of computation, from the contract alone."""
