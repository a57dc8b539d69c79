"""The scorer API, the registry and the built-in scorers. Plain data in, plain data out."""
