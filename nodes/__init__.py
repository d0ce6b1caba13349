"""The processes of the cluster, and what they are made of."""
