"""The process that runs a model's scoring script for a Ridgeline scorer.

It owns loading the script, calling init() once and run() per request, and turning what run() returns
into JSON; it leaves HTTP, queues, deadlines and restarts to the scorer at the other end of its one
channel. It imports the standard library only: everything else belongs to the model's own environment.
"""
