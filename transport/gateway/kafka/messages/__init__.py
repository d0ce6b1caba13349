"""Kafka's messages, one file per conversation; names and versions as in its protocol guide."""
