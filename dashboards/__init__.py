"""Pages that show what a store holds: they read the store and leave statistics to owtrend."""
