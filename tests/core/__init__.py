"""Tests of keys, tokens, paths, the verifier and the guard, in this process and offline."""
