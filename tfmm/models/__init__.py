"""Models: each decides which gates to open; the base pays for what they buy."""
