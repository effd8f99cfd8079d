"""A histogram compared with a reference: pulls, scores, patches."""
