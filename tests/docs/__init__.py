"""Tests of README and docs: they run every snippet and every command, and check statements."""
