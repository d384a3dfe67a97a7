"""The command `restate-identity`: make keys, inspect tokens, verify and sign requests. Needs the extra ``cli``.

These modules read arguments and print; the other modules of the package do the work. The command prints a
token only when signing was asked for, and a private key only into a pipe, as a manifest. It does not repeat a secret
that was passed in the wrong place. Control characters in the text of a token never reach the terminal. Each command has
a module of its own.
"""
