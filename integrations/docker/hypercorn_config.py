import os

# PORT is how most container platforms say where to listen.
bind = f"0.0.0.0:{os.environ['PORT']}"
# One connection carries many invocations at once, and long ones: neither number nor duration is limited here.
h2_max_concurrent_streams = 2147483647
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
