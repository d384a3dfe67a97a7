"""The remote proxies: local ports for the cloud's ingress and admin API.

Whoever reaches such a port has access with the API key, which the proxy adds to each request. So a proxy listens on
loopback unless it is told otherwise, and `callers` keeps web pages out.
"""
