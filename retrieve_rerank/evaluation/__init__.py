"""Measuring what is served: qrels and run files, measures, comparisons, reports."""
