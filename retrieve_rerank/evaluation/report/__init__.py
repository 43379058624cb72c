"""Reports that people read: findings, pages, plots."""
