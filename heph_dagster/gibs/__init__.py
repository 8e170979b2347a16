"""NASA's Global Imagery Browse Services: layers, grids, days, tiles, and a server of one's own."""
