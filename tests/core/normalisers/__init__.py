"""What servers, frameworks, proxies and clients do to a path, in four languages."""
