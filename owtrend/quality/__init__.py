"""What people are notified of: incidents."""
