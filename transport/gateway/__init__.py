"""Foreign tongues: bytes of other systems' clients, and what they mean here. Pure.

Nothing here opens a socket, knows the time or decides anything; a malformed frame raises the one
error of its codec, before anything is allocated for what it claims to hold.
"""
