"""The programs of the whole-request workload: the apps for the servers, and the clients that load them."""
