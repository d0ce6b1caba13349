"""What is said: ids, error codes, typed messages, record batches and their bytes. Pure."""
