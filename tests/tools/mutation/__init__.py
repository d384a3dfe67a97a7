"""Make the package wrong in one small way at a time, and check that a test notices."""
