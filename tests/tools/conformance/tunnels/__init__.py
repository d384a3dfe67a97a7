"""Our tunnel and the official SDK's, ``restate.connect``, against the same fake cloud: what does each of them lose?"""
