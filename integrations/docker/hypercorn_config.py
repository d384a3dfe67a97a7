import os

# Most container platforms set PORT to the port to listen on.
bind = f"0.0.0.0:{os.environ['PORT']}"
# One connection carries many invocations at once, some of them long, so limit neither their number nor their duration.
h2_max_concurrent_streams = 2147483647
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
