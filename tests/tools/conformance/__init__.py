"""Compare independent verifiers on the same requests: where they agree, where they must, and known differences."""
