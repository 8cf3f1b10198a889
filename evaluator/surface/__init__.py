"""DensePose: the body's surface, geodesic distances, surface maps. May import `poses` and `errors`."""
