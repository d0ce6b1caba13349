"""Commands of clients, mounted by the command line; each is imported only when it is asked for."""
