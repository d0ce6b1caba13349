"""What every node's process has: health, figures, logging."""
