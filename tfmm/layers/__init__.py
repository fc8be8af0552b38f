"""Keras layers: the gate, what it samples from, and what fuses its results."""
