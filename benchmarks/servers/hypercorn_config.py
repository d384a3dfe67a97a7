"""Has hypercorn keep its connections to the end; by default it closes one after 1,000 requests."""

keep_alive_max_requests = 2**62
