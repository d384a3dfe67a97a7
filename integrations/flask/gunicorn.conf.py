bind = "0.0.0.0:8000"
# About one worker for each core, each with threads that wait for the network.
workers = 2
worker_class = "gthread"
threads = 4
