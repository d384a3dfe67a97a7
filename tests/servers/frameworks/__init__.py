"""Real applications of many frameworks behind the guard, and the path fuzzer that attacks them.

Each has the same routes, by the framework's own routing, and each handler says which one it is: so the tests know which
one really ran, whatever path was sent.
"""
