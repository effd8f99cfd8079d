"""Series of points: change points, noise, outliers."""
