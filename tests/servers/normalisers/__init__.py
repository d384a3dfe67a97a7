"""Path normalisers of servers, frameworks, proxies and clients, in four languages."""
