"""Jobs that run when they are due: at times, and when something happens in a store."""
