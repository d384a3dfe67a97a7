"""The applications that the tests serve, each behind one adapter: all answer any path with the identity they see."""
