"""How it travels: ROUTER, DEALER, PUB and SUB endpoints, as ZeroMQ really behaves."""
