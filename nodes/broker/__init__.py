"""The broker process: Kafka's job."""
