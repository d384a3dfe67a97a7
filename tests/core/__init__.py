"""The verdict: keys, tokens, paths, the verifier and the guard, in this process and offline."""
