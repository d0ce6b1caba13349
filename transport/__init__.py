"""How and what nodes say to each other: the wire, the sockets and the one loop that drives them."""
