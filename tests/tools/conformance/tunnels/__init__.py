"""Run our tunnel and the SDK's, ``restate.connect``, against the same fake cloud, and count the requests they lose."""
