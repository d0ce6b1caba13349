"""The directories that partition logs are in, and the small files beside the logs."""
