"""Telling people what is wrong: alerts, the channels that they go through, and what was sent already."""
