"""Tests of deploy/: its files, and its services started without containers."""
