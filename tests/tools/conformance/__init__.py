"""Independent judges of the same requests: where verifiers agree, where they must, and where they are known not to."""
