"""The files in ``integrations/``, run as a user would run them. Nothing here has a copy of them."""
