"""What networks cost, and what devices are and can hold. May import `baselines.protocol` and nothing else of the
package."""
