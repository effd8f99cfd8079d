"""What a page shows: its selection, times, ranges, and what was read for them."""
