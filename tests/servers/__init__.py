"""Tests of the adapters behind real servers, and of services that a real Restate server calls."""
