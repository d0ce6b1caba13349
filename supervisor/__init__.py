"""One supervisor per host: spawns the nodes, watches, restarts, drains, and tells of deaths."""
