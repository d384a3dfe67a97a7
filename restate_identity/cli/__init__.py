"""The command `restate-identity`: make keys, inspect tokens, verify and sign requests. Needs the extra ``cli``.

Each command has its own module. These modules read arguments and print results; the rest of the package does the work.
The command prints a token only when asked to sign, and a private key only into a pipe, as a manifest. It does not
repeat a secret that was passed in the wrong place. Control characters in the text of a token never reach the terminal.
"""
