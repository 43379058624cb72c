"""A checkpoint as the fast form that runs on CPUs, and how true that is to it."""
