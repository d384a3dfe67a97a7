"""Make hypercorn keep its connections; by default it closes a connection after 1,000 requests."""

keep_alive_max_requests = 2**62
