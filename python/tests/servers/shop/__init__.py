"""A small Django project for real servers: prices in a file, read through the cache."""
