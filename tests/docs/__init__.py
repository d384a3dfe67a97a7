"""README and docs: every snippet and every command is run, every claim is looked up."""
