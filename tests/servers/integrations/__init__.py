"""Run the files in ``integrations/`` themselves, as a user would."""
