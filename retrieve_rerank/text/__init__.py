"""What is done with text alone: templates, languages, stop words."""
