"""The site: one Django project with one app. docs/architecture.md draws its rooms."""
