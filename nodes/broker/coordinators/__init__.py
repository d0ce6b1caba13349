"""The group and transaction coordinators of this broker, on shards of the internal topics."""
