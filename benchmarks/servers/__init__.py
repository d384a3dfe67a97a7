"""The programs of the whole-request workload: the apps that a server runs, and the client that loads it."""
