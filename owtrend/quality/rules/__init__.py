"""Rules: what an expert knows, as expressions over trends, scores and conditions; each report gets a quality."""
