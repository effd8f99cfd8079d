"""Values without I/O: axes, histograms, snapshots, the registry, rows, findings."""
