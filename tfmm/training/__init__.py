"""Training: phases, optimisers, strategies, checkpoints and the loop around them."""
