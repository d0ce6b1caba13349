"""Record batches in and out, and questions about offsets: what clients and followers ask of replicas."""
