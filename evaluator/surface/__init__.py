"""DensePose: the body's surface, geodesic distances on it, surface maps. May import `poses` and `errors`."""
