"""The pure state machines: no I/O, clock or randomness of their own."""
