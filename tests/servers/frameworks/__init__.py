"""Real applications of many frameworks behind the guard, and the path fuzzer that attacks them.

Each application has the same routes, by the framework's own routing. A handler's response names the handler, so the
tests know which one ran.
"""
