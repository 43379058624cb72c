"""Texts, pairs and prompts as token ids."""
