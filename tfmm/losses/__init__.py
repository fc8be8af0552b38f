"""Losses: (batch, Recognition) -> [B]. They read the contract, never a model."""
