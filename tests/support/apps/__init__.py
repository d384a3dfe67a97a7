"""Applications for the tests, each behind one adapter. They answer any path with the identity that they see."""
