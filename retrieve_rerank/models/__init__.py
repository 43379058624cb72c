"""Model files: finding, loading, running and exporting them."""
