"""ROOT files decoded to snapshots."""
