"""A store on a local disk: what is safe from a power loss, which files have changed, who writes."""
