"""Foreign tongues: bytes of other systems' clients to typed values and back; pure."""
