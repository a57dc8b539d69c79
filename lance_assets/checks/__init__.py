"""Asset checks. Empty so far: the bodies of the assets check what they write."""
