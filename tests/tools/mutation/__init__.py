"""Would a test notice if the core were wrong? It is made wrong in every small way, one at a time, and tested."""
