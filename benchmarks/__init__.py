"""Speed and memory, as ratios of pairs measured in turn in the same run: `make bench`."""
