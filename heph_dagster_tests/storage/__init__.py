"""Tests of heph_dagster.storage."""
