bind = "0.0.0.0:8000"
# About two for each core, each with threads that wait for the network.
workers = 4
worker_class = "gthread"
threads = 4
