"""Weights that other programs have trained, put into models of this package."""
