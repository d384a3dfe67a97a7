"""The language-neutral suite for Restate request identity v1: JSON files, their schema, and code that writes them."""
