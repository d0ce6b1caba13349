"""The one loop of nodes and clients alike, and the ports through which a program sees the world."""
