"""Let hypercorn end a connection after few requests; by default it does so after 1,000."""

keep_alive_max_requests = 10
